import type { ChatMessage, Prompt, SamplingParams } from '@polylora/engine';
import { z } from 'zod';
import type { Account } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { accountFields, accountOf, userHash } from './account-fields.ts';
import { invalidValue, type JsonObject, missing } from './fields.ts';
import { parse } from './parse.ts';
import {
  MAX_INT32,
  MAX_TOP_LOGPROBS,
  refuseLargerMinimum,
  samplingFields,
  samplingOf,
  unsupportedSamplingFields,
} from './sampling.ts';
import {
  expecting,
  hints,
  integer,
  list,
  onlyNeutral,
  optional,
  text,
  unsupportedField,
} from './schema-parts.ts';
import { streamFields, streamOptionsOf } from './stream-options.ts';
import { constraintOf, structuredOutputFields } from './structured-output.ts';
import { callsOf, toolCalls, toolFields, toolUseOf } from './tools.ts';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

/** More messages or parts than any model's context has room for. */
const SEVERAL = { min: 1, max: 2 ** 16 };

/** OpenAI's kinds of content that are not text. */
const OTHER_PARTS = ['image_url', 'input_audio', 'video_url', 'file', 'refusal'] as const;

const partType = z.literal('text');
hints.add(partType, { unsupported: OTHER_PARTS });

const contentPart = z.object({ type: partType, text: z.string() });

const message = z.object({
  role: z.enum(ROLES),
  tool_calls: optional(toolCalls, 'What the assistant called.'),
  tool_call_id: optional(text(), 'Which call a message of role `tool` answers.'),
  function_call: unsupportedField(),
  audio: unsupportedField(),
  content: optional(
    expecting(
      z.union([z.string(), list(contentPart, 'objects', SEVERAL)]),
      'one of a string or array of objects',
    ),
    'What is said; none only where there are `tool_calls`.',
  ),
  name: optional(text(), 'Who says it, where the template tells.'),
});

export const messages = list(message, 'objects', SEVERAL).meta({ description: 'The conversation so far.' });

/** What a chat completion's body has beside the model. */
export const chatFields = {
  functions: onlyNeutral(z.array(z.never()).max(0), 'tools'),
  function_call: onlyNeutral(z.literal('none'), 'tool_choice'),
  ...toolFields,
  modalities: onlyNeutral(z.tuple([z.literal('text')])),
  audio: unsupportedField(),
  prediction: unsupportedField(),
  reasoning_effort: onlyNeutral(z.literal('none')),
  verbosity: onlyNeutral(z.literal('medium')),
  web_search_options: unsupportedField(),
  store: onlyNeutral(z.literal(false)),
  echo: onlyNeutral(z.literal(false)),
  chat_template: unsupportedField(),
  chat_template_kwargs: unsupportedField(),
  add_generation_prompt: onlyNeutral(z.literal(true)),
  add_special_tokens: onlyNeutral(z.literal(false)),
  continue_final_message: onlyNeutral(z.literal(false)),
  ...unsupportedSamplingFields,
  ...structuredOutputFields,
  messages,
  ...samplingFields,
  max_completion_tokens: optional(integer(1, MAX_INT32), 'Most tokens of the answer.'),
  max_tokens: optional(integer(1, MAX_INT32), 'The same by its older name.'),
  logprobs: optional(z.boolean(), 'Tell how likely each token was.', false),
  top_logprobs: optional(
    integer(0, MAX_TOP_LOGPROBS),
    'And of so many of the likeliest. Only where `logprobs` is true.',
  ),
  ...streamFields,
  ...accountFields,
};

const chatBody = z.compile(z.object(chatFields));

/** A chat completion as a client asked for it, checked. */
export interface ChatRequest {
  readonly prompt: Prompt;
  readonly sampling: SamplingParams;
  readonly choices: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** null where the client names none. */
  readonly userHash: string | null;
  /** null where it names nothing of it. */
  readonly account: Account | null;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readChatRequest(json: JsonObject, vocabSize: number): ChatRequest {
  const body = parse(chatBody, json);
  const prompt = chatPrompt(body.messages);
  const tools = toolUseOf(body);
  return {
    prompt: tools === null ? prompt : { tools, ...prompt },
    sampling: samplingOf(body, vocabSize, {
      maxTokens: maxTokensOf(body),
      logprobs: logprobsOf(body),
      promptLogprobs: null,
      constraint: constraintOf(body),
    }),
    choices: body.n ?? 1,
    ...streamOptionsOf(body),
    userHash: userHash(body),
    account: accountOf(body),
  };
}

function maxTokensOf(body: z.output<typeof chatBody>): number | null {
  const param = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens';
  const max = body[param] ?? null;
  refuseLargerMinimum(max, param, body);
  return max;
}

function logprobsOf({ logprobs, top_logprobs: top }: z.output<typeof chatBody>): number | null {
  if (!logprobs && (top ?? 0) > 0) {
    const message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
    throw new ApiError('invalid_value', message, 'top_logprobs');
  }
  return logprobs ? (top ?? 0) : null;
}

/** @throws ApiError for a message without what its role needs */
export function chatPrompt(body: z.output<typeof messages>): Extract<Prompt, { kind: 'chat' }> {
  return { kind: 'chat', messages: body.map(messageOf) };
}

/** Text parts are joined by newlines, as vLLM does for templates that take a string. */
function messageOf(
  { role, content, name, tool_calls: calls, tool_call_id: callId }: z.output<typeof message>,
  index: number,
): ChatMessage {
  const param = (field: string) => `messages[${index}].${field}`;
  if (content == null && (role !== 'assistant' || calls == null)) throw missing(param('content'));
  if (role !== 'assistant' && calls != null) {
    throw invalidValue(
      param('tool_calls'),
      `only an assistant's message has calls, and this one's role is '${role}'.`,
    );
  }
  if (role === 'tool' && callId == null) throw missing(param('tool_call_id'));
  const words = typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('\n');
  // Most messages are nothing else.
  if (name == null && calls == null && role !== 'tool') return { role, content: words };
  return {
    role,
    content: words,
    ...(name == null ? {} : { name }),
    ...(calls == null ? {} : { toolCalls: callsOf(calls, param('tool_calls')) }),
    ...(role === 'tool' && callId != null ? { toolCallId: callId } : {}),
  };
}
