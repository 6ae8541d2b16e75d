import type { Prompt } from '@polylora/engine';
import type { Context } from 'hono';
import type { Used } from '../admission/asked.ts';
import type { BackendModel, BackendTokenizer } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { requestedModel } from '../jobs/model.ts';
import { chatPrompt } from '../openai/chat-request.ts';
import type { JsonObject } from '../openai/fields.ts';
import { tokenName } from '../openai/logprobs.ts';
import { parse } from '../openai/parse.ts';
import { inVocabulary } from '../openai/sampling.ts';
import { detokenizeBody, tokenizeChatBody, tokenizeTextBody } from '../openai/tokenize-request.ts';
import type { GatewayDeps } from './deps.ts';
import { reserveFor } from './reserve.ts';
import { schedulingOf } from './scheduling.ts';

const NO_TOKENS: Used = { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };

/** vLLM's `POST /tokenize`, of a text or of a chat */
export function tokenizeRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, deps.requestBodyLimitBytes);
    const { prompt, withStrings } = readPrompt(body);
    const { tokenizer, model } = await tokenizerOf(c, deps, body);
    return admitted(c, deps, model, async () => {
      const tokens = await tokenizer.tokenize(prompt);
      return c.json({
        count: tokens.length,
        max_model_len: model.maxModelLen,
        tokens,
        token_strs: withStrings ? (await tokenizer.describe(tokens)).map(tokenName) : null,
      });
    });
  };
}

/** vLLM's `POST /detokenize` */
export function detokenizeRoute(deps: GatewayDeps) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, deps.requestBodyLimitBytes);
    const { tokens } = parse(detokenizeBody, body);
    const { tokenizer, model } = await tokenizerOf(c, deps, body);
    const ids = inVocabulary(tokens, 'tokens', model.vocabSize);
    return admitted(c, deps, model, async () => c.json({ prompt: await tokenizer.detokenize(ids) }));
  };
}

/** Counts as a request that uses no tokens, and has a place among those in flight: it takes the engine's time. @throws ApiError */
async function admitted(
  c: Context<GatewayEnv>,
  deps: GatewayDeps,
  model: BackendModel,
  work: () => Promise<Response>,
): Promise<Response> {
  const asked = { model, promptTokens: 0, completionTokens: 0, counting: null };
  const reservation = await reserveFor(c, deps)(asked);
  let used: Used | null = null;
  try {
    const { tenant, weight } = schedulingOf(c.get('access'), deps);
    const lease = deps.inFlight.acquire(tenant, weight, 1);
    used = NO_TOKENS;
    try {
      return await work();
    } finally {
      lease.release();
    }
  } finally {
    reservation.settle(used);
  }
}

function readPrompt(json: JsonObject): { prompt: Prompt; withStrings: boolean } {
  if ((json.messages ?? null) !== null) {
    const { messages, return_token_strs: withStrings } = parse(tokenizeChatBody, json);
    return { prompt: chatPrompt(messages), withStrings: withStrings ?? false };
  }
  const { prompt, add_special_tokens: specialTokens, return_token_strs } = parse(tokenizeTextBody, json);
  return {
    prompt: { kind: 'text', text: prompt, specialTokens: specialTokens ?? true },
    withStrings: return_token_strs ?? false,
  };
}

/** @throws ApiError model_not_found for a model that is named and may not be used */
async function tokenizerOf(
  c: Context<GatewayEnv>,
  { backend }: GatewayDeps,
  { model: name = null }: JsonObject,
): Promise<{ tokenizer: BackendTokenizer; model: BackendModel }> {
  const { base } = backend();
  const model =
    name === null && base !== null
      ? base
      : await requestedModel(backend(), { model: name ?? 'base' }, c.get('access').principal);
  if (model.parent === null && model.id !== base?.id) {
    throw new ApiError(
      'invalid_value',
      `\`${model.id}\` has a tokenizer of its own, which is not served.`,
      'model',
    );
  }
  const { tokenizer } = backend();
  if (tokenizer !== null) return { tokenizer, model };
  const message = 'This server answers for another, and has no tokenizer of its own.';
  throw new ApiError('unknown_url', message);
}
