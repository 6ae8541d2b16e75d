import type { Tool, ToolUse } from '../types.ts';
import { embedded, JSON_OPTIONS } from './embedded-schema.ts';

/** How a family of models writes calls of tools. */
export interface ToolFormat {
  readonly name: 'hermes' | 'llama' | 'mistral';
  /** What a call begins with; empty where it is the answer's very first character that tells, `{`. */
  readonly begin: string;
  /** What it ends with; empty where the answer ends with it. */
  readonly end: string;
  /** What the object with the arguments is called. */
  readonly argumentsKey: 'arguments' | 'parameters';
  /** Calls are elements of one list. */
  readonly list: boolean;
  /** Between the begin, a call and the end. */
  readonly space: string;
  /** Several calls in one answer. */
  readonly several: boolean;
}

/** `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, as Hermes, Qwen 2.5 and Qwen 3 write it. SmolLM2 has a list within. */
export const HERMES: ToolFormat = {
  name: 'hermes',
  begin: '<tool_call>',
  end: '</tool_call>',
  argumentsKey: 'arguments',
  list: false,
  space: '\n',
  several: true,
};

/** `{"name": …, "parameters": …}` and nothing else, as Llama 3.1 and 3.2 write it. */
export const LLAMA: ToolFormat = {
  name: 'llama',
  begin: '',
  end: '',
  argumentsKey: 'parameters',
  list: false,
  space: '',
  several: false,
};

/** `[TOOL_CALLS] [{"name": …, "arguments": …}]` */
export const MISTRAL: ToolFormat = {
  name: 'mistral',
  begin: '[TOOL_CALLS]',
  end: '',
  argumentsKey: 'arguments',
  list: true,
  space: ' ',
  several: true,
};

/** The format that a model's chat template speaks of; Hermes' for one that knows no tools. */
export function toolFormatOf(chatTemplate: string | null): ToolFormat {
  if (chatTemplate?.includes('[TOOL_CALLS]')) return MISTRAL;
  if (chatTemplate?.includes('<tool_call>')) return HERMES;
  if (chatTemplate?.includes('ipython') && chatTemplate.includes('"parameters"')) return LLAMA;
  return HERMES;
}

/** Whether a template puts tools into the prompt. */
export function knowsTools(chatTemplate: string): boolean {
  return /\btools\b/.test(chatTemplate);
}

/**
 * A grammar in Lark for answers that call tools.
 *
 * @param tokenOf the id of a control token with this text; null where the text is none and is written out
 * @param answer the grammar's rule for an answer without calls, where one may be given: a schema as JSON text, or null for any text
 * @returns null where nothing is to be enforced
 */
export function toolGrammar(
  format: ToolFormat,
  { tools, choice, parallel }: ToolUse,
  tokenOf: (text: string) => number | null,
  answer: string | null = null,
): string | null {
  if (choice === 'auto' && answer === null && !tools.some(({ strict }) => strict)) return null;
  const chosen = typeof choice === 'object' ? tools.filter(({ name }) => name === choice.name) : tools;
  const several = parallel && format.several && typeof choice === 'string';
  const calls = chosen.map((tool, index) => `call_${index}: %json ${callSchema(format, tool)}`);
  const anyCall = chosen.map((_, index) => `call_${index}`).join(' | ');
  const space = format.space === '' ? '' : `${JSON.stringify(format.space)} `;
  const marker = (text: string) => {
    const token = tokenOf(text);
    return token === null ? JSON.stringify(text) : `<[${token}]>`;
  };
  const inner = format.list ? `"[" one_call ${several ? '("," " "? one_call)* ' : ''}"]"` : 'one_call';
  const closing = format.end === '' ? '' : ` ${space}${marker(format.end)}`;
  const rest = `${space}${inner}${closing}`;
  const more = several && !format.list ? ` ("\\n" call)*` : '';
  const rules = [`one_call: ${anyCall}`, ...calls];
  if (choice !== 'auto') {
    const begin = format.begin === '' ? '' : `${marker(format.begin)} `;
    return [`start: call${more}`, `call: ${begin}${rest}`, ...rules].join('\n');
  }
  const json = answer === null ? [] : [`answer: %json ${answer}`];
  if (format.begin === '') {
    const text = answer === null ? 'TEXT' : 'answer';
    const other = answer === null ? ['TEXT: /([^{ \\n\\t\\r](.|\\n)*)?/'] : json;
    return [`start: ${text} | call`, `call: ${rest}`, ...other, ...rules].join('\n');
  }
  if (answer !== null) {
    return [`start: answer | call${more}`, `call: ${marker(format.begin)} ${rest}`, ...json, ...rules].join(
      '\n',
    );
  }
  const token = tokenOf(format.begin);
  if (token !== null) {
    return [`start: TEXT (call${more})?`, `call: <[${token}]> ${rest}`, 'TEXT: /(.|\\n)*/', ...rules].join(
      '\n',
    );
  }
  const trigger = format.begin.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  return [
    several ? 'start: call* TEXT' : 'start: TEXT | call',
    `begin[lazy]: /(.|\\n)*${trigger}/`,
    `call: begin ${rest}`,
    'TEXT: /(.|\\n)*/',
    ...rules,
  ].join('\n');
}

/** A call as the model writes it. The object is closed by the grammar, whatever the tool's own schema allows within. */
function callSchema(format: ToolFormat, { name, parameters, strict }: Tool): string {
  const key = format.argumentsKey;
  return JSON.stringify({
    'x-guidance': { ...JSON_OPTIONS, lenient: !strict, coerce_one_of: !strict },
    type: 'object',
    properties: {
      name: { const: name },
      [key]: embedded(parameters ?? { type: 'object' }, `/properties/${key}`),
    },
    required: ['name', key],
    additionalProperties: false,
  });
}
