import { join } from 'node:path';
import type { Target } from '../http/load.ts';
import { launch, untilReady } from '../http/server-process.ts';
import type { LlamaCpp } from './llama-cpp.ts';
import type { RunningTarget } from './running-target.ts';

const START_TIMEOUT_MS = 120_000;
/** llama.cpp pads a slot's context to a multiple of this. */
const CONTEXT_STEP = 256;

export interface LlamaServerOptions {
  readonly model: string;
  /** GGUF adapters; client N asks for the N-th, beginning again after the last. */
  readonly adapters: readonly string[];
  /** A slot for each, so that all of them are in one batch. */
  readonly clients: number;
  /** Prompt and answer of a request together, in tokens. */
  readonly tokensPerRequest: number;
  readonly threads: number;
  readonly logFolder: string;
}

/**
 * Starts llama-server with a slot for each client and prompt caching off. Adapters are loaded but applied only by the
 * requests that name them; they cost time even at scale 0, so a base model is to be measured without any.
 */
export async function startLlamaServer(
  llamaCpp: LlamaCpp,
  options: LlamaServerOptions,
): Promise<RunningTarget> {
  const { model, adapters, clients, tokensPerRequest, threads, logFolder } = options;
  const context = clients * Math.ceil(tokensPerRequest / CONTEXT_STEP) * CONTEXT_STEP;
  const lora = adapters.length === 0 ? [] : ['--lora', adapters.join(','), '--lora-init-without-apply'];
  const batching = ['--parallel', clients, '--ctx-size', context, '--no-kv-unified', '--cont-batching'];
  const caching = ['--no-cache-prompt', '--cache-ram', 0];
  const common = [
    '--model',
    model,
    '--threads',
    threads,
    '--threads-batch',
    threads,
    '--no-webui',
    '--offline',
  ];
  const logFile = join(logFolder, `llama-server-${clients}-${adapters.length}.log`);
  const args = [...common, ...batching, ...caching, ...lora, '--host', '127.0.0.1'].map(String);
  const server = await launch(llamaCpp['llama-server'], args, { logFile });
  await untilReady(server, '/health', START_TIMEOUT_MS);
  const fields: Target['fields'] = (client) => ({
    cache_prompt: false,
    ...(adapters.length === 0 ? {} : { lora: [{ id: client % adapters.length, scale: 1 }] }),
  });
  return { url: server.url, fields, stop: server.stop };
}
