import type { Tool, ToolUse } from '../types.ts';
import { embedded, JSON_OPTIONS } from './embedded-schema.ts';

/** How a family of models writes calls of tools. */
export interface ToolFormat {
  readonly name: 'hermes' | 'llama' | 'mistral' | 'mistral-named' | 'mistral-numbered';
  /** What a call begins with; empty where it is the answer's very first character that tells, `{`. */
  readonly begin: string;
  /** What may come before a call that has no begin; empty where nothing may. */
  readonly prefix: string;
  /** What it ends with; empty where the answer ends with it. */
  readonly end: string;
  /** What stands between the function's name and its arguments, where these are not in one object. */
  readonly named: NamedCall | null;
  /** What the object with the arguments is called. */
  readonly argumentsKey: 'arguments' | 'parameters';
  /** Calls are elements of one list. */
  readonly list: boolean;
  /** Between the begin, a call and the end. */
  readonly space: string;
  /** Between calls. */
  readonly between: string;
  /** Several calls in one answer. */
  readonly several: boolean;
}

/** A call that begins with the function's name, in no object. */
export interface NamedCall {
  /** What the call's id follows; empty where it has none. */
  readonly idMarker: string;
  /** What the arguments follow. */
  readonly argumentsMarker: string;
}

/** `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, as Hermes, Qwen 2.5 and Qwen 3 write it. SmolLM2 has a list within. */
export const HERMES: ToolFormat = {
  name: 'hermes',
  begin: '<tool_call>',
  prefix: '',
  end: '</tool_call>',
  named: null,
  argumentsKey: 'arguments',
  list: false,
  space: '\n',
  between: '\n',
  several: true,
};

/** `{"name": …, "parameters": …}` and nothing else but perhaps `<|python_tag|>` before it, as Llama 3.1 and 3.2 write it. */
export const LLAMA: ToolFormat = {
  name: 'llama',
  begin: '',
  prefix: '<|python_tag|>',
  end: '',
  named: null,
  argumentsKey: 'parameters',
  list: false,
  space: '',
  between: '',
  several: false,
};

/** `[TOOL_CALLS] [{"name": …, "arguments": …}]` */
export const MISTRAL: ToolFormat = {
  name: 'mistral',
  begin: '[TOOL_CALLS]',
  prefix: '',
  end: '',
  named: null,
  argumentsKey: 'arguments',
  list: true,
  space: ' ',
  between: '',
  several: true,
};

/** `[TOOL_CALLS]name[ARGS]{…}`, one after the other, as Mistral's models since Devstral and Magistral of 2507 write it. */
export const MISTRAL_NAMED: ToolFormat = {
  ...MISTRAL,
  name: 'mistral-named',
  named: { idMarker: '', argumentsMarker: '[ARGS]' },
  list: false,
  space: '',
};

/** `[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}`, as Mistral Small 3.2 writes it. */
export const MISTRAL_NUMBERED: ToolFormat = {
  ...MISTRAL_NAMED,
  name: 'mistral-numbered',
  named: { idMarker: '[CALL_ID]', argumentsMarker: '[ARGS]' },
};

/** The format that a model's chat template speaks of; Hermes' for one that knows no tools. */
export function toolFormatOf(chatTemplate: string | null): ToolFormat {
  if (chatTemplate?.includes('[TOOL_CALLS]')) {
    if (!chatTemplate.includes('[ARGS]')) return MISTRAL;
    return chatTemplate.includes('[CALL_ID]') ? MISTRAL_NUMBERED : MISTRAL_NAMED;
  }
  if (chatTemplate?.includes('<tool_call>')) return HERMES;
  if (chatTemplate?.includes('ipython') && chatTemplate.includes('"parameters"')) return LLAMA;
  return HERMES;
}

/** The texts of a format that a model may have control tokens for. */
export function markersOf({ begin, prefix, end, named }: ToolFormat): readonly string[] {
  const all = [begin, prefix, end, named?.idMarker ?? '', named?.argumentsMarker ?? ''];
  return all.filter((marker) => marker !== '');
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
  const marker = (text: string) => {
    const token = tokenOf(text);
    return token === null ? JSON.stringify(text) : `<[${token}]>`;
  };
  const { named } = format;
  const calls = chosen.map((tool, index) =>
    named === null
      ? `call_${index}: %json ${callSchema(format, tool)}`
      : `call_${index}: ${namedHead(tool, named, marker)} %json ${argumentsSchema(tool)}`,
  );
  const anyCall = chosen.map((_, index) => `call_${index}`).join(' | ');
  const space = format.space === '' ? '' : `${JSON.stringify(format.space)} `;
  const inner = format.list ? `"[" one_call ${several ? '("," " "? one_call)* ' : ''}"]"` : 'one_call';
  const closing = format.end === '' ? '' : ` ${space}${marker(format.end)}`;
  // As text it could be told from no other text before a brace.
  const prefix = tokenOf(format.prefix) === null ? '' : `${marker(format.prefix)}? `;
  const rest = `${prefix}${space}${inner}${closing}`;
  const between = format.between === '' ? '' : `${JSON.stringify(format.between)} `;
  const more = several && !format.list ? ` (${between}call)*` : '';
  const id = named === null || named.idMarker === '' ? [] : [CALL_ID];
  const rules = [`one_call: ${anyCall}`, ...calls, ...id];
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

/** Mistral's ids of calls. */
const CALL_ID = 'CALL_ID: /[a-zA-Z0-9]{9}/';

function namedHead(
  { name }: Tool,
  { idMarker, argumentsMarker }: NamedCall,
  marker: (text: string) => string,
): string {
  const id = idMarker === '' ? '' : ` ${marker(idMarker)} CALL_ID`;
  return `${JSON.stringify(name)}${id} ${marker(argumentsMarker)}`;
}

/** The arguments by themselves. */
function argumentsSchema({ parameters, strict }: Tool): string {
  const schema = embedded(parameters ?? { type: 'object' }, '') as object;
  return JSON.stringify({ 'x-guidance': optionsOf(strict), ...schema });
}

function optionsOf(strict: boolean): object {
  return { ...JSON_OPTIONS, lenient: !strict, coerce_one_of: !strict };
}

/** A call as the model writes it. The object is closed by the grammar, whatever the tool's own schema allows within. */
function callSchema(format: ToolFormat, { name, parameters, strict }: Tool): string {
  const key = format.argumentsKey;
  return JSON.stringify({
    'x-guidance': optionsOf(strict),
    type: 'object',
    properties: {
      name: { const: name },
      [key]: embedded(parameters ?? { type: 'object' }, `/properties/${key}`),
    },
    required: ['name', key],
    additionalProperties: false,
  });
}
