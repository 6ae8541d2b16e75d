/**
 * Names of OpenTelemetry's semantic conventions for generative AI, as of 2026-11 (open-telemetry/semantic-conventions-genai; all of them
 * are in development there, so that their package tells to copy them). Stable ones come from `@opentelemetry/semantic-conventions`.
 */
export const GEN_AI = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  stream: 'gen_ai.request.stream',
  choices: 'gen_ai.request.choice.count',
  maxTokens: 'gen_ai.request.max_tokens',
  temperature: 'gen_ai.request.temperature',
  topP: 'gen_ai.request.top_p',
  topK: 'gen_ai.request.top_k',
  presencePenalty: 'gen_ai.request.presence_penalty',
  frequencyPenalty: 'gen_ai.request.frequency_penalty',
  seed: 'gen_ai.request.seed',
  outputType: 'gen_ai.output.type',
  finishReasons: 'gen_ai.response.finish_reasons',
  timeToFirstChunk: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
} as const;

/** Our own, where there is no convention. */
export const POLYLORA = {
  requestId: 'polylora.request.id',
  tenant: 'polylora.tenant',
  cacheResult: 'polylora.cache.result',
  cacheCategory: 'polylora.cache.category',
} as const;

/** Who answers: the conventions have no name for servers of one's own. */
export const PROVIDER = 'polylora';
