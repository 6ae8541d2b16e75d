import { hash } from 'node:crypto';
import type { Constraint, SamplingParams, SchedulingParams } from '@polylora/engine';
import type { JsonObject } from '../../openai/fields.ts';
import type { BackendEmbedding, BackendModel, BackendRequest } from '../backend.ts';
import { addTools, upstreamMessage } from './tools.ts';

/** What of a request goes where. */
export interface UpstreamRequest {
  readonly path: '/v1/chat/completions' | '/v1/completions' | '/v1/embeddings';
  readonly body: JsonObject;
}

/** Whose prefixes an upstream may find for whom: as `prefixCache` says it for the engine here. */
export type PrefixSharing = 'tenant' | 'shared' | 'off';

/**
 * A request as OpenAI's API and vLLM's extensions of it write it. Extensions are left out where they ask for nothing: not
 * every server knows them.
 */
export function upstreamRequest(
  model: BackendModel,
  request: BackendRequest,
  options: { readonly stream: boolean; readonly prefixes: PrefixSharing },
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
  addScheduling(body, request, options.prefixes);
  if (options.stream) {
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

export function upstreamEmbedding(model: BackendModel, request: BackendEmbedding): UpstreamRequest {
  const { inputs, truncate } = request;
  return {
    path: '/v1/embeddings',
    body: {
      model: model.id,
      input: inputs.map((input) => (input.kind === 'text' ? input.text : input.ids)),
      encoding_format: 'float',
      ...(truncate === null ? {} : { truncate_prompt_tokens: truncate === 'model' ? -1 : truncate }),
    },
  };
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
  prefixes: PrefixSharing,
): void {
  const { priority, category, timeoutSeconds } = scheduling;
  const salt = cacheSalt(id, scheduling, prefixes);
  if (salt !== null) body.cache_salt = salt;
  if (priority !== 'normal') body.service_tier = priority === 'high' ? 'priority' : 'flex';
  if (category !== null) body.category = category;
  if (timeoutSeconds !== null) body.timeout = timeoutSeconds;
}

/**
 * To the upstream all tenants are one client: what keeps their prefixes apart is this. A digest, because neither a tenant's
 * name nor its salt is any business of the upstream's.
 */
function cacheSalt(
  id: string,
  { tenant, cacheSalt: salt }: SchedulingParams,
  prefixes: PrefixSharing,
): string | null {
  switch (prefixes) {
    case 'tenant':
      return salt === null ? tenantDigest(tenant) : digest('tenant', tenant, salt);
    case 'shared':
      return salt === null ? null : digest('salt', salt);
    case 'off':
      return digest('request', id);
  }
}

function digest(...parts: readonly (string | null)[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url');
}

const MOST_TENANTS = 1_000;
const tenantDigests = new Map<string, string>();

/** Of those that ask most, computed once. */
function tenantDigest(tenant: string): string {
  const known = tenantDigests.get(tenant);
  if (known !== undefined) return known;
  const made = digest('tenant', tenant, null);
  if (tenantDigests.size >= MOST_TENANTS) tenantDigests.clear();
  tenantDigests.set(tenant, made);
  return made;
}
