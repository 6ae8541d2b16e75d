import { hash } from 'node:crypto';
import type { Tokenizer } from '@polylora/engine-native';
import { type Constraint, EngineError, type GenerationRequest, type ToolUse } from '../types.ts';
import { JSON_OPTIONS } from './embedded-schema.ts';
import { ToolCallParser } from './tool-call-parser.ts';
import { markersOf, type ToolFormat, toolFormatOf, toolGrammar } from './tool-format.ts';

const ID_LENGTH = 24;

/** Tools as one model calls them. */
export class ModelTools {
  readonly #format: ToolFormat;
  /** The format's markers that are control tokens, by their text. */
  readonly #markers: ReadonlyMap<string, number>;

  constructor(chatTemplate: string | null, tokenizer: Tokenizer) {
    this.#format = toolFormatOf(chatTemplate);
    const texts = markersOf(this.#format);
    const markers = tokenizer.controlTokens().filter(({ content }) => texts.includes(content));
    this.#markers = new Map(markers.map(({ content, id }) => [content, id]));
  }

  /**
   * What a request's answer must be, its calls of tools included.
   *
   * @throws EngineError `invalid_grammar` where tools and the constraint cannot both be had
   */
  constraintOf({ prompt, sampling: { constraint } }: GenerationRequest): Constraint | null {
    const use = toolsOf(prompt);
    if (use === null) return constraint;
    const grammar = toolGrammar(
      this.#format,
      use,
      (text) => this.#markers.get(text) ?? null,
      use.choice === 'auto' ? answerSchema(constraint) : null,
    );
    return grammar === null ? null : { kind: 'grammar', field: 'tools', grammar };
  }

  /** What reads the calls out of an answer, and the control tokens that it has to see; null where a request has no tools. */
  reader({ id, prompt }: GenerationRequest): { parser: ToolCallParser; markers: ReadonlySet<number> } | null {
    const use = toolsOf(prompt);
    if (use === null) return null;
    const idOf = (index: number) => `call_${hash('sha256', `${id} ${index}`, 'hex').slice(0, ID_LENGTH)}`;
    const parser = new ToolCallParser(
      this.#format,
      use.tools.map(({ name }) => name),
      idOf,
    );
    return { parser, markers: new Set(this.#markers.values()) };
  }
}

function toolsOf(prompt: GenerationRequest['prompt']): ToolUse | null {
  return prompt.kind === 'chat' && prompt.tools && prompt.tools.tools.length > 0 ? prompt.tools : null;
}

/** The form of an answer that calls no tool, as a schema with the compiler's options. */
function answerSchema(constraint: Constraint | null): string | null {
  switch (constraint?.kind) {
    case undefined:
      return null;
    case 'json_object':
      return JSON.stringify({ 'x-guidance': JSON_OPTIONS, type: 'object' });
    case 'json_schema': {
      const { lenient } = constraint;
      const options = { ...JSON_OPTIONS, lenient, coerce_one_of: lenient };
      return JSON.stringify({ ...(JSON.parse(constraint.schema) as object), 'x-guidance': options });
    }
    default:
      throw new EngineError('invalid_grammar', `Invalid ${constraint?.field}: tools go with JSON only.`);
  }
}
