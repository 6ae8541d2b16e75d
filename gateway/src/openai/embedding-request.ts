import { z } from 'zod';
import type { BackendEmbedding } from '../backends/backend.ts';
import type { JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import { inVocabulary, MAX_INT32 } from './sampling.ts';
import { expecting, integer, list, optional, text } from './schema-parts.ts';

/** Most texts in one request, as with OpenAI. */
const SEVERAL = { min: 1, max: 2048 };

/** Longer than the context of any model that is served; how long it may be is looked at later. */
const MAX_INPUT_TOKENS = 2 ** 18;

/** vLLM's way to say that texts are cut to what the model can take. */
const MODEL_LENGTH = -1;

const tokenIds = list(integer(0, MAX_INT32), 'integers', { min: 1, max: MAX_INPUT_TOKENS });

const input = expecting(
  z.union([
    text(),
    tokenIds,
    list(text(), 'strings', SEVERAL),
    list(tokenIds, 'arrays of integers', SEVERAL),
  ]),
  'one of a string, array of strings, array of integers, or array of integer arrays',
);

/** What an embedding's body has beside the model. */
export const embeddingFields = {
  input: input.meta({ description: 'A text, or its token ids, or several of either.' }),
  encoding_format: optional(
    z.enum(['float', 'base64']),
    '`base64` is of little-endian 32-bit floats.',
    'float',
  ),
  dimensions: optional(integer(1, 2 ** 16), 'Only so many numbers, of length 1 again.'),
  truncate_prompt_tokens: optional(
    integer(MODEL_LENGTH, MAX_INT32),
    'Tokens that are kept of longer texts; -1 as many as the model can take. Without it they are refused.',
  ),
  user: optional(
    z.string(),
    'Your user, by any name. Another server that computes the answers is told a hash of it.',
  ),
};

const embeddingBody = z.compile(z.object(embeddingFields));

/** Vectors as a client asked for them, checked. */
export interface EmbeddingRequest extends Pick<BackendEmbedding, 'inputs' | 'truncate'> {
  readonly encoding: 'float' | 'base64';
  readonly dimensions: number | null;
  /** null where the client names none. */
  readonly user: string | null;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readEmbeddingRequest(json: JsonObject, vocabSize: number): EmbeddingRequest {
  const body = parse(embeddingBody, json);
  const truncate = body.truncate_prompt_tokens ?? null;
  return {
    inputs: inputsOf(body.input, vocabSize),
    truncate: truncate === MODEL_LENGTH ? 'model' : truncate === 0 ? null : truncate,
    encoding: body.encoding_format ?? 'float',
    dimensions: body.dimensions ?? null,
    user: body.user ?? null,
  };
}

function inputsOf(value: z.output<typeof input>, vocabSize: number): EmbeddingRequest['inputs'] {
  if (typeof value === 'string') return [{ kind: 'text', text: value }];
  if (isTokenIds(value)) return [{ kind: 'tokens', ids: inVocabulary(value, 'input', vocabSize) }];
  return value.map((each, index) =>
    typeof each === 'string'
      ? { kind: 'text', text: each }
      : { kind: 'tokens', ids: inVocabulary(each, `input[${index}]`, vocabSize) },
  );
}

function isTokenIds(value: string[] | number[] | number[][]): value is number[] {
  return typeof value[0] === 'number';
}
