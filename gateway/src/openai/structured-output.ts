import type { Constraint } from '@polylora/engine';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { invalidValue, type JsonObject, missing } from './fields.ts';
import { refuseCostlyText } from './json-cost.ts';
import { expecting, list, onlyNeutral, optional, text, unsupportedField } from './schema-parts.ts';
import { strictProblem } from './strict-schema.ts';

const MAX_NAME_LENGTH = 64;
/** Longer schemas, patterns and grammars are refused by the engine too. */
const MAX_SOURCE_LENGTH = 256 * 1024;
const MAX_CHOICES = 10_000;

/** A schema, of which only that it is an object is looked at here. */
export const jsonSchema = z.record(z.string(), z.unknown());

/** Of a schema or a function. */
export const itsName = text(MAX_NAME_LENGTH).regex(/^[\w-]+$/, {
  error: "must consist of letters, digits, '_' and '-'.",
  abort: true,
});

const responseFormat = z.object({
  type: z.enum(['text', 'json_object', 'json_schema']),
  json_schema: optional(
    z.object({
      name: itsName,
      description: optional(z.string(), 'What the answer is for.'),
      schema: optional(jsonSchema, 'Any object where there is none.'),
      strict: optional(z.boolean(), 'Refuse schemas that are not of the subset that says all.', false),
    }),
    'With `type: json_schema`: what the answer must be.',
  ),
});

/** As `response_format` of the Responses API writes it: the schema's own fields beside the type. */
export const textFormat = z.object({
  type: z.enum(['text', 'json_object', 'json_schema']),
  name: optional(itsName, 'With `type: json_schema`.'),
  description: optional(z.string(), 'What the answer is for.'),
  schema: optional(jsonSchema, 'With `type: json_schema`: what the answer must be.'),
  strict: optional(z.boolean(), 'Refuse schemas that are not of the subset that says all.', false),
});

const guidedJson = expecting(z.union([text(MAX_SOURCE_LENGTH), jsonSchema]), 'one of a string or object');
const choices = list(z.string().min(1, { abort: true }), 'strings', { min: 1, max: MAX_CHOICES });
const source = text(MAX_SOURCE_LENGTH);

/** What both completion routes take. */
export const structuredOutputFields = {
  response_format: optional(responseFormat, 'The form of the answer.', { type: 'text' }),
  guided_json: optional(guidedJson, 'The answer is JSON that this schema allows.'),
  guided_regex: optional(source, 'The answer matches this pattern, as a whole.'),
  guided_choice: optional(choices, 'The answer is one of these texts.'),
  guided_grammar: optional(source, 'The answer is of this grammar, in Lark or GBNF.'),
  guided_decoding_backend: optional(z.string(), 'Taken for the sake of clients of vLLM; does nothing.'),
  guided_whitespace_pattern: unsupportedField(),
  structured_outputs: optional(
    z.object({
      json: optional(guidedJson, 'As `guided_json`.'),
      regex: optional(source, 'As `guided_regex`.'),
      choice: optional(choices, 'As `guided_choice`.'),
      grammar: optional(source, 'As `guided_grammar`.'),
      json_object: optional(z.boolean(), 'The answer is any JSON object.', false),
      structural_tag: unsupportedField(),
      whitespace_pattern: unsupportedField(),
      disable_any_whitespace: onlyNeutral(z.literal(false)),
      disable_additional_properties: onlyNeutral(z.literal(false)),
    }),
    'The same by the newer name in vLLM.',
  ),
};

const shape = z.object(structuredOutputFields);
type StructuredOutput = z.output<typeof shape>;

/**
 * The form that a client asks its answer to have.
 *
 * @returns null for any text
 * @throws ApiError where several are asked for, or a schema is not what `strict` asks of it
 */
export function constraintOf(body: StructuredOutput): Constraint | null {
  const inner = body.structured_outputs ?? {};
  const asked = [
    ofFormat(body.response_format ?? { type: 'text' }),
    ofJson(body.guided_json, 'guided_json'),
    ofPattern(body.guided_regex, 'guided_regex'),
    ofChoice(body.guided_choice, 'guided_choice'),
    ofGrammar(body.guided_grammar, 'guided_grammar'),
    ofJson(inner.json, 'structured_outputs.json'),
    ofPattern(inner.regex, 'structured_outputs.regex'),
    ofChoice(inner.choice, 'structured_outputs.choice'),
    ofGrammar(inner.grammar, 'structured_outputs.grammar'),
    inner.json_object ? ({ kind: 'json_object', field: 'structured_outputs.json_object' } as const) : null,
  ].filter((constraint) => constraint !== null);
  const [first, second] = asked;
  if (second !== undefined) {
    throw invalidValue(second.field, `an answer has one form only, and '${first?.field}' gives one already.`);
  }
  return first ?? null;
}

function ofFormat({ type, json_schema: asked }: z.output<typeof responseFormat>): Constraint | null {
  switch (type) {
    case 'text':
      return null;
    case 'json_object':
      return { kind: 'json_object', field: 'response_format' };
    case 'json_schema': {
      if (asked == null) throw missing('response_format.json_schema');
      const schema = asked.schema ?? { type: 'object' };
      if (asked.strict) assertStrict(schema, `response_format '${asked.name}'`, 'response_format');
      return {
        kind: 'json_schema',
        field: 'response_format.json_schema.schema',
        schema: JSON.stringify(schema),
        lenient: !asked.strict,
      };
    }
  }
}

/**
 * The form that a client of the Responses API asks its answer to have.
 *
 * @throws ApiError where a schema is missing, or not what `strict` asks of it
 */
export function ofTextFormat({ type, name, schema, strict }: z.output<typeof textFormat>): Constraint | null {
  if (type !== 'json_schema') return type === 'text' ? null : { kind: 'json_object', field: 'text.format' };
  if (name == null) throw missing('text.format.name');
  if (schema == null) throw missing('text.format.schema');
  if (strict) assertStrict(schema, `response_format '${name}'`, 'text.format.schema');
  const text = JSON.stringify(schema);
  return { kind: 'json_schema', field: 'text.format.schema', schema: text, lenient: !strict };
}

/** @throws ApiError in OpenAI's words where a schema is not of the subset that `strict` takes */
export function assertStrict(schema: JsonObject, whose: string, param: string): void {
  const found = strictProblem(schema);
  if (found === null) return;
  const context = found.context.map((key) => `'${key}'`).join(', ');
  throw new ApiError(
    'invalid_schema',
    `Invalid schema for ${whose}: In context=(${context}), ${found.problem}.`,
    param,
  );
}

function ofJson(value: string | JsonObject | null | undefined, field: string): Constraint | null {
  if (value == null) return null;
  const schema = typeof value === 'string' ? value : JSON.stringify(value);
  if (typeof value === 'string') assertJson(value, field);
  return { kind: 'json_schema', field, schema, lenient: false };
}

function assertJson(text: string, field: string): void {
  refuseCostlyText(text, field);
  try {
    JSON.parse(text);
  } catch {
    throw invalidValue(field, 'a schema that is given as a string is JSON text, and this is not.');
  }
}

function ofPattern(pattern: string | null | undefined, field: string): Constraint | null {
  return pattern == null ? null : { kind: 'regex', field, pattern };
}

function ofChoice(values: readonly string[] | null | undefined, field: string): Constraint | null {
  return values == null ? null : { kind: 'choice', field, choices: values };
}

function ofGrammar(grammar: string | null | undefined, field: string): Constraint | null {
  return grammar == null ? null : { kind: 'grammar', field, grammar };
}
