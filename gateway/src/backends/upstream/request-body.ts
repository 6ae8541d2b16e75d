import { hash } from 'node:crypto';
import type { Constraint, SamplingParams, SchedulingParams } from '@polylora/engine';
import type { JsonObject } from '../../openai/fields.ts';
import type { Account, BackendEmbedding, BackendModel, BackendRequest } from '../backend.ts';
import type { Pseudonyms } from './pseudonyms.ts';
import { addTools, upstreamMessage } from './tools.ts';

/** What of a request goes where. */
export interface UpstreamRequest {
  readonly path: '/v1/chat/completions' | '/v1/completions' | '/v1/embeddings';
  readonly body: JsonObject;
}

/** Whose prefixes an upstream may find for whom: as `prefixCache` says it for the engine here. */
export type PrefixSharing = 'tenant' | 'shared' | 'off';

/** Whether an upstream is sent `priority`, and which of two comes first there. */
export type PriorityOrder = 'off' | 'lower-first' | 'higher-first';

/** What an upstream is told beside what is asked. */
export interface Telling {
  readonly prefixes: PrefixSharing;
  readonly priorities: PriorityOrder;
  readonly pseudonyms: Pseudonyms;
}

/**
 * A request as OpenAI's API and vLLM's extensions of it write it. Extensions are left out where they ask for nothing: not
 * every server knows them.
 */
export function upstreamRequest(
  model: BackendModel,
  request: BackendRequest,
  telling: Telling,
  stream: boolean,
): UpstreamRequest {
  const { prompt, sampling } = request;
  const { maxTokens, logprobs, promptLogprobs } = sampling;
  const body: Record<string, unknown> = { model: model.id };
  if (prompt.kind === 'chat') {
    body.messages = prompt.messages.map(upstreamMessage);
    if (prompt.tools) addTools(body, prompt.tools);
  } else body.prompt = prompt.kind === 'text' ? prompt.text : prompt.ids;
  // For chats the older name of `max_completion_tokens`, which every server knows.
  if (maxTokens !== null) body.max_tokens = maxTokens;
  addSampling(body, sampling);
  addScheduling(body, request, telling);
  if (request.account) addAccount(body, request.account, request.scheduling.tenant, telling.pseudonyms);
  if (stream) {
    body.stream = true;
    body.stream_options = { include_usage: true };
  }
  if (prompt.kind === 'chat') {
    if (logprobs !== null) {
      body.logprobs = true;
      body.top_logprobs = logprobs;
    }
    return { path: '/v1/chat/completions', body };
  }
  if (needsEcho(request)) {
    body.echo = true;
    // They tell where the prompt ends.
    body.logprobs = logprobs ?? promptLogprobs ?? 0;
  } else if (logprobs !== null) body.logprobs = logprobs;
  return { path: '/v1/completions', body };
}

export function upstreamEmbedding(
  model: BackendModel,
  request: BackendEmbedding,
  { pseudonyms }: Telling,
): UpstreamRequest {
  const { inputs, truncate, user = null, scheduling } = request;
  const body: Record<string, unknown> = {
    model: model.id,
    input: inputs.map((input) => (input.kind === 'text' ? input.text : input.ids)),
    encoding_format: 'float',
  };
  if (truncate !== null) body.truncate_prompt_tokens = truncate === 'model' ? -1 : truncate;
  if (user !== null) body.user = pseudonyms.of('user', scheduling.tenant, user);
  return { path: '/v1/embeddings', body };
}

/** Whether the prompt has to come back from the upstream: its logprobs, or the text of its ids. */
export function needsEcho({ prompt, sampling, echo }: BackendRequest): boolean {
  return echo && (prompt.kind === 'tokens' || sampling.promptLogprobs !== null);
}

function addSampling(body: Record<string, unknown>, sampling: SamplingParams): void {
  const { presencePenalty, frequencyPenalty, repetitionPenalty, logitBias, stop, stopTokenIds } = sampling;
  // Always: a model's own settings may give them another default than OpenAI's API has.
  body.temperature = sampling.temperature;
  body.top_p = sampling.topP;
  // Where nothing is drawn, a seed only costs the upstream.
  if (sampling.temperature > 0) body.seed = sampling.seed;
  if (sampling.topK > 0) body.top_k = sampling.topK;
  if (sampling.minP > 0) body.min_p = sampling.minP;
  if (presencePenalty !== 0) body.presence_penalty = presencePenalty;
  if (frequencyPenalty !== 0) body.frequency_penalty = frequencyPenalty;
  if (repetitionPenalty !== 1) body.repetition_penalty = repetitionPenalty;
  if (logitBias.length > 0) body.logit_bias = Object.fromEntries(logitBias);
  if (sampling.minTokens > 0) body.min_tokens = sampling.minTokens;
  if (stop.length > 0) body.stop = stop;
  if (stopTokenIds.length > 0) body.stop_token_ids = stopTokenIds;
  if (sampling.includeStop) body.include_stop_str_in_output = true;
  if (sampling.ignoreEos) body.ignore_eos = true;
  if (sampling.constraint !== null) addConstraint(body, sampling.constraint);
}

/** JSON as OpenAI's API asks for it, which most servers know; the rest as vLLM does. */
function addConstraint(body: Record<string, unknown>, constraint: Constraint): void {
  switch (constraint.kind) {
    case 'json_object':
      body.response_format = { type: 'json_object' };
      break;
    case 'json_schema': {
      const { field, lenient } = constraint;
      const schema: unknown = JSON.parse(constraint.schema);
      // OpenAI's `strict` takes a subset of schemas only, to which others need not keep.
      const isOpenAIs = lenient || field.startsWith('response_format') || field.startsWith('text.');
      if (!isOpenAIs) body.structured_outputs = { json: schema };
      else
        body.response_format = {
          type: 'json_schema',
          json_schema: { name: 'answer', schema, strict: !lenient },
        };
      break;
    }
    case 'regex':
      body.structured_outputs = { regex: constraint.pattern };
      break;
    case 'choice':
      body.structured_outputs = { choice: constraint.choices };
      break;
    case 'grammar':
      body.structured_outputs = { grammar: constraint.grammar };
      break;
  }
}

function addScheduling(
  body: Record<string, unknown>,
  { id, scheduling }: BackendRequest,
  { prefixes, priorities, pseudonyms }: Telling,
): void {
  const { priority, category, timeoutSeconds } = scheduling;
  const salt = cacheSalt(id, scheduling, prefixes, pseudonyms);
  if (salt !== null) body.cache_salt = salt;
  // llama-server knows no salts, and takes this with each request.
  if (prefixes === 'off') body.cache_prompt = false;
  if (priority !== 'normal') body.service_tier = priority === 'high' ? 'priority' : 'flex';
  if (priorities !== 'off') body.priority = PRIORITIES[priorities][priority];
  if (category !== null) body.category = category;
  if (timeoutSeconds !== null) body.timeout = timeoutSeconds;
}

/** As vLLM counts them, and as SGLang does. */
const PRIORITIES = {
  'lower-first': { high: -1, normal: 0, batch: 1 },
  'higher-first': { high: 1, normal: 0, batch: -1 },
} as const satisfies Record<Exclude<PriorityOrder, 'off'>, Record<SchedulingParams['priority'], number>>;

/** What a client files its requests under, by names of this server's: two tenants may well have the same user. */
function addAccount(
  body: Record<string, unknown>,
  { user, safetyIdentifier, promptCacheKey }: Account,
  tenant: string,
  pseudonyms: Pseudonyms,
): void {
  if (user !== null) body.user = pseudonyms.of('user', tenant, user);
  // The newer name of the same.
  if (safetyIdentifier !== null) body.safety_identifier = pseudonyms.of('user', tenant, safetyIdentifier);
  if (promptCacheKey !== null)
    body.prompt_cache_key = pseudonyms.of('prompt_cache_key', tenant, promptCacheKey);
}

/**
 * To the upstream all tenants are one client: what keeps their prefixes apart is this. Neither a tenant's name nor its salt is any
 * business of the upstream's.
 */
function cacheSalt(
  id: string,
  { tenant, cacheSalt: salt }: SchedulingParams,
  prefixes: PrefixSharing,
  pseudonyms: Pseudonyms,
): string | null {
  switch (prefixes) {
    case 'tenant':
      return salt === null ? pseudonyms.ofTenant(tenant) : pseudonyms.of('tenant', tenant, salt);
    case 'shared':
      return salt === null ? null : pseudonyms.of('salt', salt);
    case 'off':
      // It is random, and of one request: there is nothing to guess.
      return hash('sha256', id, 'base64url');
  }
}
