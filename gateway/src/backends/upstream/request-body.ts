import { hash } from 'node:crypto';
import type { SamplingParams, SchedulingParams } from '@polylora/engine';
import type { JsonObject } from '../../openai/fields.ts';
import type { BackendEmbedding, BackendModel, BackendRequest } from '../backend.ts';

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
  const { prompt, sampling, scheduling } = request;
  const common = {
    model: model.id,
    ...samplingFields(sampling),
    ...schedulingFields(request.id, scheduling, options.prefixes),
    ...(options.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  };
  if (prompt.kind === 'chat') {
    const { maxTokens, logprobs } = sampling;
    return {
      path: '/v1/chat/completions',
      body: {
        ...common,
        messages: prompt.messages,
        // The older name of `max_completion_tokens`, which every server knows.
        ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
        ...(logprobs === null ? {} : { logprobs: true, top_logprobs: logprobs }),
      },
    };
  }
  const { maxTokens, logprobs, promptLogprobs } = sampling;
  // Where the prompt's tokens or its text must come from the upstream, its logprobs tell where the prompt ends.
  const echo = needsEcho(request);
  const asked = echo ? (logprobs ?? promptLogprobs ?? 0) : logprobs;
  return {
    path: '/v1/completions',
    body: {
      ...common,
      prompt: prompt.kind === 'text' ? prompt.text : prompt.ids,
      ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
      ...(asked === null ? {} : { logprobs: asked }),
      ...(echo ? { echo: true } : {}),
    },
  };
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

function samplingFields(sampling: SamplingParams): JsonObject {
  const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, repetitionPenalty } = sampling;
  const { logitBias, seed, minTokens, stop, stopTokenIds, includeStop, ignoreEos } = sampling;
  return {
    // Always: a model's own settings may give them another default than OpenAI's API has.
    temperature,
    top_p: topP,
    // Where nothing is drawn, a seed only costs the upstream.
    ...(temperature === 0 ? {} : { seed }),
    ...(topK === 0 ? {} : { top_k: topK }),
    ...(minP === 0 ? {} : { min_p: minP }),
    ...(presencePenalty === 0 ? {} : { presence_penalty: presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequency_penalty: frequencyPenalty }),
    ...(repetitionPenalty === 1 ? {} : { repetition_penalty: repetitionPenalty }),
    ...(logitBias.length === 0 ? {} : { logit_bias: Object.fromEntries(logitBias) }),
    ...(minTokens === 0 ? {} : { min_tokens: minTokens }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(stopTokenIds.length === 0 ? {} : { stop_token_ids: stopTokenIds }),
    ...(includeStop ? { include_stop_str_in_output: true } : {}),
    ...(ignoreEos ? { ignore_eos: true } : {}),
  };
}

function schedulingFields(id: string, scheduling: SchedulingParams, prefixes: PrefixSharing): JsonObject {
  const { priority, category, timeoutSeconds } = scheduling;
  const salt = cacheSalt(id, scheduling, prefixes);
  return {
    ...(salt === null ? {} : { cache_salt: salt }),
    ...(priority === 'normal' ? {} : { service_tier: priority === 'high' ? 'priority' : 'flex' }),
    ...(category === null ? {} : { category }),
    ...(timeoutSeconds === null ? {} : { timeout: timeoutSeconds }),
  };
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
  const digest = (...parts: readonly (string | null)[]) => hash('sha256', JSON.stringify(parts), 'base64url');
  switch (prefixes) {
    case 'tenant':
      return digest('tenant', tenant, salt);
    case 'shared':
      return salt === null ? null : digest('salt', salt);
    case 'off':
      return digest('request', id);
  }
}
