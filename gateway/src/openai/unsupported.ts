import { type JsonObject, unsupported } from './fields.ts';

/** Fields that would change the answer if we did them, each with whether a value asks for nothing. */
type Refusals = Readonly<Record<string, (value: unknown) => boolean>>;

const never = () => false;
const isFalse = (value: unknown) => value === false;
const isTrue = (value: unknown) => value === true;
const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;
const isNone = (value: unknown) => value === 'none';
const isBlank = (value: unknown) => value === '';

/** vLLM's extensions that both of its completion routes take. */
const VLLM: Refusals = {
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  structured_outputs: never,
  prompt_logprobs: never,
  prompt_embeds: never,
  truncate_prompt_tokens: never,
  bad_words: isEmpty,
  allowed_token_ids: never,
  logits_processors: isEmpty,
  skip_special_tokens: isTrue,
  use_beam_search: isFalse,
};

const CHAT: Refusals = {
  ...VLLM,
  tools: isEmpty,
  tool_choice: isNone,
  functions: isEmpty,
  function_call: isNone,
  response_format: (value) => isFormatText(value),
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text',
  audio: never,
  prediction: never,
  reasoning_effort: isNone,
  verbosity: (value) => value === 'medium',
  web_search_options: never,
  store: isFalse,
  echo: isFalse,
  chat_template: never,
  chat_template_kwargs: never,
  add_generation_prompt: isTrue,
  add_special_tokens: isFalse,
  continue_final_message: isFalse,
};

const COMPLETION: Refusals = {
  ...VLLM,
  suffix: isBlank,
  response_format: (value) => isFormatText(value),
  add_special_tokens: isTrue,
};

function isFormatText(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'text';
}

function refuse(body: JsonObject, refusals: Refusals): void {
  for (const [param, asksForNothing] of Object.entries(refusals)) {
    const value = body[param] ?? null;
    if (value !== null && !asksForNothing(value)) throw unsupported(param);
  }
}

/** @throws ApiError unsupported_parameter naming the first chat field that asks for what we do not do */
export function refuseUnsupportedChatFields(body: JsonObject): void {
  refuse(body, CHAT);
}

/** @throws ApiError unsupported_parameter naming the first completion field that asks for what we do not do */
export function refuseUnsupportedCompletionFields(body: JsonObject): void {
  refuse(body, COMPLETION);
}
