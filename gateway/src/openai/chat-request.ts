import type { ChatMessage, Prompt, SamplingParams } from '@polylora/engine';
import { ApiError } from '../errors.ts';
import {
  booleanField,
  choiceValue,
  integerField,
  invalidType,
  type JsonObject,
  missing,
  nonEmptyArray,
  objectValue,
  textValue,
  unsupported,
} from './fields.ts';
import { MAX_TOP_LOGPROBS, readChoiceCount, readMaxTokens, readSampling } from './sampling.ts';
import { readStreamOptions } from './stream-options.ts';
import { refuseUnsupportedChatFields } from './unsupported.ts';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

/** A chat completion as a client asked for it, checked. */
export interface ChatRequest {
  readonly prompt: Prompt;
  readonly sampling: SamplingParams;
  readonly choices: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/**
 * @param vocabSize of the model that will answer
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function readChatRequest(body: JsonObject, vocabSize: number): ChatRequest {
  refuseUnsupportedChatFields(body);
  return {
    prompt: { kind: 'chat', messages: readMessages(body.messages ?? null) },
    sampling: {
      ...readSampling(body, vocabSize),
      maxTokens:
        readMaxTokens(body, 'max_completion_tokens', 1, null) ?? readMaxTokens(body, 'max_tokens', 1, null),
      logprobs: readLogprobs(body),
      promptLogprobs: null,
    },
    choices: readChoiceCount(body),
    ...readStreamOptions(body),
  };
}

function readLogprobs(body: JsonObject): number | null {
  const wanted = booleanField(body, 'logprobs');
  const top = integerField(body, 'top_logprobs', { min: 0, max: MAX_TOP_LOGPROBS });
  if (!wanted && top !== undefined && top > 0) {
    const message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
    throw new ApiError('invalid_value', message, 'top_logprobs');
  }
  return wanted ? (top ?? 0) : null;
}

function readMessages(value: unknown): readonly ChatMessage[] {
  if (value === null) throw missing('messages');
  return nonEmptyArray(value, 'messages', 'an array of objects').map((item, index) => {
    const param = `messages[${index}]`;
    return readMessage(objectValue(item, param), param);
  });
}

function readMessage(message: JsonObject, param: string): ChatMessage {
  if (message.role === undefined) throw missing(`${param}.role`);
  const role = choiceValue(message.role, `${param}.role`, ROLES);
  for (const field of ['tool_calls', 'function_call', 'audio']) {
    if ((message[field] ?? null) !== null) throw unsupported(`${param}.${field}`);
  }
  if (message.content === undefined) throw missing(`${param}.content`);
  const content = readContent(message.content, `${param}.content`);
  const name = message.name ?? null;
  return name === null ? { role, content } : { role, content, name: textValue(name, `${param}.name`) };
}

/** Text parts are joined by newlines, as vLLM does for templates that take a string. */
function readContent(content: unknown, param: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw invalidType(param, 'one of a string or array of objects', content);
  return nonEmptyArray(content, param, 'an array of objects')
    .map((item, index) => readPart(objectValue(item, `${param}[${index}]`), `${param}[${index}]`))
    .join('\n');
}

function readPart(part: JsonObject, param: string): string {
  if (part.type === undefined) throw missing(`${param}.type`);
  const kinds = ['text', 'image_url', 'input_audio', 'video_url', 'file', 'refusal'] as const;
  const kind = choiceValue(part.type, `${param}.type`, kinds);
  if (kind !== 'text') throw unsupported(`${param}.type`, `'${kind}' is not supported, only 'text' is`);
  if (part.text === undefined) throw missing(`${param}.text`);
  if (typeof part.text !== 'string') throw invalidType(`${param}.text`, 'a string', part.text);
  return part.text;
}
