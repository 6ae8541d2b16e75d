import type { SamplingParams, ToolUse } from '@polylora/engine';
import { z } from 'zod';
import type { Account } from '../backends/backend.ts';
import { accountFields, accountOf, userHash } from './account-fields.ts';
import type { JsonObject } from './fields.ts';
import { parse } from './parse.ts';
import { inputItem, itemOf, type ResponseItem, SEVERAL } from './responses-items.ts';
import {
  MAX_INT32,
  MAX_TOP_LOGPROBS,
  refuseLargerMinimum,
  samplingFields,
  samplingOf,
  unsupportedSamplingFields,
} from './sampling.ts';
import { expecting, integer, list, onlyNeutral, optional, text, unsupportedField } from './schema-parts.ts';
import { ofTextFormat, textFormat } from './structured-output.ts';
import { flatToolFields, flatToolUseOf } from './tools.ts';

const { n: _, ...responseSamplingFields } = samplingFields;

/** What the body of a response to be has beside the model. */
export const responsesFields = {
  background: onlyNeutral(z.literal(false)),
  conversation: unsupportedField(),
  prompt: unsupportedField(),
  max_tool_calls: unsupportedField(),
  truncation: onlyNeutral(z.literal('disabled')),
  ...unsupportedSamplingFields,
  input: expecting(
    z.union([z.string(), list(inputItem, 'objects', SEVERAL)]),
    'one of a string or array of objects',
  ).meta({
    description: 'What to answer: a text of the user, or messages, calls of functions and what came of them.',
  }),
  instructions: optional(z.string(), 'Comes before all else, and holds for this response alone.'),
  previous_response_id: optional(text(128), 'The stored response that this one goes on from.'),
  store: optional(z.boolean(), 'Keep the response, to be fetched and gone on from.', true),
  ...flatToolFields,
  reasoning: optional(
    z.object({
      effort: onlyNeutral(z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'])),
      summary: unsupportedField(),
    }),
    'Taken without meaning: the models that are served do not reason apart.',
  ),
  include: optional(
    list(z.enum(['message.output_text.logprobs']), 'strings', { max: 16 }),
    'Tell more: the logprobs of the text.',
  ),
  text: optional(
    z.object({
      format: optional(textFormat, 'The form of the answer.', { type: 'text' }),
      verbosity: onlyNeutral(z.literal('medium')),
    }),
    'The form of the answer.',
  ),
  ...responseSamplingFields,
  max_output_tokens: optional(integer(1, MAX_INT32), 'Most tokens of the answer.'),
  top_logprobs: optional(integer(0, MAX_TOP_LOGPROBS), 'Logprobs of so many of the likeliest tokens too.'),
  stream: optional(z.boolean(), 'Send the answer in pieces, as named server-sent events.', false),
  stream_options: optional(
    z.object({ include_obfuscation: optional(z.boolean(), 'Taken; nothing is added to hide lengths.') }),
    'Options of the stream.',
  ),
  ...accountFields,
};

const responsesBody = z.compile(z.object(responsesFields));

type Body = z.output<typeof responsesBody>;

/** A response as a client asked for it, checked. */
export interface ResponsesRequest {
  /** As it came, for what the answer repeats of it. */
  readonly body: Body;
  readonly input: readonly ResponseItem[];
  /** null where none may be called. */
  readonly tools: ToolUse | null;
  readonly sampling: SamplingParams;
  /** null where the client names none. */
  readonly userHash: string | null;
  /** null where it names nothing of it. */
  readonly account: Account | null;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readResponsesRequest(json: JsonObject, vocabSize: number): ResponsesRequest {
  const body = parse(responsesBody, json);
  const maxTokens = body.max_output_tokens ?? null;
  refuseLargerMinimum(maxTokens, 'max_output_tokens', body);
  const wantsLogprobs = (body.include ?? []).length > 0 || (body.top_logprobs ?? 0) > 0;
  return {
    body,
    input: (typeof body.input === 'string'
      ? [{ role: 'user' as const, content: body.input }]
      : body.input
    ).map(itemOf),
    tools: flatToolUseOf(body),
    sampling: samplingOf(body, vocabSize, {
      maxTokens,
      logprobs: wantsLogprobs ? (body.top_logprobs ?? 0) : null,
      promptLogprobs: null,
      constraint: ofTextFormat(body.text?.format ?? { type: 'text' }),
    }),
    userHash: userHash(body),
    account: accountOf(body),
  };
}
