/**
 * Models from the Hugging Face hub, kept under `<home>/hub/<owner>--<name>/<commit>`. A revision is resolved to
 * its commit once and stays there: a start without the network works, and no start changes the model.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { z } from 'zod';
import { EngineError } from '../types.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { withFileLock } from './file-lock.ts';
import { downloadHubFile } from './hub-file.ts';
import type { OnProgress } from './progress.ts';

export interface HubModelId {
  /** `owner/name` */
  readonly name: string;
  /** A branch, tag or commit. */
  readonly revision: string;
}

export interface HubOptions {
  /** https://huggingface.co unless told. */
  readonly url?: string;
  /** For gated and private models. */
  readonly accessToken?: string;
}

/** What was fetched for a revision. */
const Snapshot = z.object({
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  files: z.array(z.object({ path: z.string(), size: z.int() })),
});

/** At a repository's root, and how a sentence-transformers model pools; weights of other kinds are not fetched. */
const WANTED =
  /^(config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|chat_template\.(jinja|json)|model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|modules\.json|sentence_bert_config\.json|\d+_Pooling\/config\.json)$/;

/** The directory of a model that was fetched before and is whole. */
export async function cachedHubModel(id: HubModelId, home: string): Promise<string | null> {
  const snapshot = await readFile(snapshotFile(id, home), 'utf8').then(
    (text) => Snapshot.safeParse(JSON.parse(text)),
    () => null,
  );
  if (snapshot?.success !== true) return null;
  const directory = join(repositoryDirectory(id, home), snapshot.data.commit);
  for (const { path, size } of snapshot.data.files) {
    const found = await stat(join(directory, path)).catch(() => null);
    if (found?.size !== size) return null;
  }
  return directory;
}

/**
 * Fetches a model's configuration, tokenizer and safetensors; what an interrupted run got is kept and verified.
 *
 * @param timeoutMs for each of the hub's answers, downloads aside
 * @returns the directory
 * @throws EngineError `model_not_found` where the hub cannot be reached or does not have it, `model_corrupt`
 * where a file's digest is not the hub's.
 */
export async function fetchHubModel(
  id: HubModelId,
  home: string,
  timeoutMs: number,
  hub: HubOptions = {},
  onProgress?: OnProgress,
): Promise<string> {
  const access = {
    ...(hub.url === undefined ? {} : { hubUrl: hub.url }),
    ...(hub.accessToken === undefined ? {} : { accessToken: hub.accessToken }),
  };
  const metadata = { ...access, fetch: fetchWithin(timeoutMs) };
  const commit = await resolveRevision(id, metadata);
  const repository = repositoryDirectory(id, home);
  const directory = join(repository, commit);
  return withFileLock(`${directory}.lock`, async () => {
    const files = await wantedFiles(id, commit, metadata).catch((error: unknown) => {
      throw asEngineError(id, error);
    });
    const total = files.reduce((sum, file) => sum + file.size, 0);
    let before = 0;
    for (const file of files) {
      const report = (done: number) =>
        onProgress?.({ stage: 'download', label: id.name, done: before + done, total });
      await downloadHubFile({ repo: id.name, commit, file, directory, access, onBytes: report }).catch(
        (error: unknown) => {
          throw asEngineError(id, error);
        },
      );
      before += file.size;
    }
    const snapshot = { commit, files: files.map(({ path, size }) => ({ path, size })) };
    await writeFileAtomic(snapshotFile(id, home), JSON.stringify(snapshot));
    return directory;
  });
}

export interface HubAccess {
  readonly hubUrl?: string;
  readonly accessToken?: string;
}

type MetadataAccess = HubAccess & { readonly fetch: typeof fetch };

function fetchWithin(timeoutMs: number): typeof fetch {
  return (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(timeoutMs) });
}

async function resolveRevision({ name, revision }: HubModelId, access: MetadataAccess): Promise<string> {
  try {
    const { sha } = await modelInfo({ name, revision, additionalFields: ['sha'], ...access });
    return Snapshot.shape.commit.parse(sha);
  } catch (error) {
    throw asEngineError({ name, revision }, error);
  }
}

async function wantedFiles(id: HubModelId, commit: string, access: MetadataAccess): Promise<ListFileEntry[]> {
  const files: ListFileEntry[] = [];
  for await (const file of listFiles({ repo: id.name, revision: commit, recursive: true, ...access })) {
    if (file.type === 'file' && WANTED.test(file.path)) files.push(file);
  }
  const isSharded = files.some(({ path }) => path === 'model.safetensors.index.json');
  const wanted = files.filter(({ path }) => !(isSharded && path === 'model.safetensors'));
  if (
    !wanted.some(({ path }) => path === 'config.json') ||
    !wanted.some(({ path }) => path.endsWith('.safetensors'))
  ) {
    throw new EngineError(
      'model_not_found',
      `${id.name} on the Hugging Face hub has no config.json with safetensors weights. For a GGUF model, download the file and name it.`,
    );
  }
  return wanted;
}

function asEngineError(id: HubModelId, error: unknown): unknown {
  if (error instanceof EngineError) return error;
  if (error instanceof HubApiError) {
    const hint = [401, 403, 404].includes(error.statusCode)
      ? ' If it is private or gated, set HF_TOKEN to an access token that may read it.'
      : '';
    return new EngineError(
      'model_not_found',
      `The Hugging Face hub answered ${error.statusCode} for ${id.name}@${id.revision}.${hint}`,
      { cause: error },
    );
  }
  // undici hides the reason in the cause.
  const reason =
    error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : String(error);
  return new EngineError(
    'model_not_found',
    `The Hugging Face hub could not be reached for ${id.name} (${reason}).`,
    { cause: error },
  );
}

function repositoryDirectory(id: HubModelId, home: string): string {
  return join(home, 'hub', id.name.replace('/', '--'));
}

function snapshotFile(id: HubModelId, home: string): string {
  return join(repositoryDirectory(id, home), 'revisions', `${encodeURIComponent(id.revision)}.json`);
}
