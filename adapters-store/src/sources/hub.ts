import { join } from 'node:path';
import { HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { StorageError } from '../blobs/blob-store.ts';
import { CONFIG_FILE, MAX_CONFIG_BYTES, WEIGHTS_FILE } from '../peft/adapter.ts';
import type { VersionSource } from '../version.ts';
import { assertWithin, type Bounds, saveFile } from './download.ts';
import { unreachable } from './egress/guarded-fetch.ts';
import { SourceError } from './source-error.ts';

export interface HubOptions {
  /** `https://huggingface.co`, or a server that speaks as it does. */
  readonly url: string;
  /** A guarded one. */
  readonly fetch: typeof fetch;
  /** For private and gated repositories; null: none. */
  readonly token: string | null;
}

const COMMIT = /^[0-9a-f]{40}$/;
const MOST_ANSWER_BYTES = 8 << 20;
/** Looked through for the adapter's two. */
const MOST_FILES = 10_000;
/** About a repository: a list may go on and on with pages that have nothing in them. */
const MOST_ANSWERS = 100;

/**
 * Fetches an adapter from a repository of the Hugging Face Hub: its configuration and its safetensors, and nothing else.
 * The revision is resolved once, so that both are of one commit.
 */
export async function fetchFromHub(
  { repo, revision }: { readonly repo: string; readonly revision: string },
  directory: string,
  { url, fetch, token }: HubOptions,
  bounds: Bounds,
  onTotal: (bytes: number) => void,
): Promise<VersionSource> {
  const access = {
    hubUrl: url,
    fetch: limited(fetch, url, bounds.signal),
    ...(token === null ? {} : { accessToken: token as `hf_${string}` }),
  };
  try {
    const { sha } = await modelInfo({ name: repo, revision, additionalFields: ['sha'], ...access });
    if (!COMMIT.test(sha)) throw new SourceError('source_unavailable', 'the hub told no commit');
    const files = await findFiles(repo, sha, access);
    onTotal(files.reduce((sum, { size }) => sum + size, 0));
    const most = (file: ListFileEntry) => (file.path === CONFIG_FILE ? MAX_CONFIG_BYTES : bounds.maxBytes);
    // Before anything is fetched.
    for (const file of files) assertWithin(file.path, file.size, most(file));
    for (const file of files) {
      await download(`${url}/${repo}/resolve/${sha}/${file.path}`, file, join(directory, file.path), {
        fetch,
        token,
        bounds: { ...bounds, maxBytes: most(file) },
      });
    }
    return { kind: 'hub', repo, commit: sha };
  } catch (error) {
    bounds.signal.throwIfAborted();
    throw hubFailure(`${repo}@${revision}`, url, error);
  }
}

async function findFiles(
  repo: string,
  commit: string,
  access: { readonly hubUrl: string; readonly fetch: typeof fetch },
): Promise<readonly ListFileEntry[]> {
  const found: ListFileEntry[] = [];
  let seen = 0;
  for await (const file of listFiles({ repo, revision: commit, ...access })) {
    if (file.type === 'file' && (file.path === CONFIG_FILE || file.path === WEIGHTS_FILE)) found.push(file);
    if (found.length === 2) return found;
    if (++seen === MOST_FILES) break;
  }
  const missing = [CONFIG_FILE, WEIGHTS_FILE].filter((name) => !found.some(({ path }) => path === name));
  throw new SourceError('source_not_found', `${repo} has no ${missing.join(' and no ')} on the hub`);
}

async function download(
  url: string,
  { path, size, lfs }: ListFileEntry,
  file: string,
  { fetch, token, bounds }: { fetch: typeof globalThis.fetch; token: string | null; bounds: Bounds },
): Promise<void> {
  const open = async (from: number) => {
    const headers = {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(from === 0 ? {} : { range: `bytes=${from}-` }),
    };
    const response = await fetch(url, { headers, signal: bounds.signal });
    if (response.status !== (from === 0 ? 200 : 206) || response.body === null) {
      await response.body?.cancel();
      throw new SourceError(codeOf(response.status), `the hub answered ${response.status} for ${path}`);
    }
    return response.body as unknown as AsyncIterable<Uint8Array>;
  };
  const digest = await saveFile({ name: path, bytes: size, open }, file, bounds);
  // Large files are listed with their digest.
  const expected = lfs?.oid.replace(/^sha256:/, '');
  if (expected !== undefined && digest !== expected)
    throw new SourceError('source_unavailable', `${path} is not what the hub lists; try again`);
}

/** Answers about files are small; the client would read whatever comes, and take its token wherever a list goes on. */
function limited(
  fetch: typeof globalThis.fetch,
  hubUrl: string,
  signal: AbortSignal,
): typeof globalThis.fetch {
  let answers = 0;
  return async (input, init) => {
    if (++answers > MOST_ANSWERS) throw new SourceError('source_too_large', 'the hub has too much to tell');
    const headers = new Headers(init?.headers);
    if (new URL(String(input)).origin !== new URL(hubUrl).origin) headers.delete('authorization');
    const response = await fetch(input, { ...init, headers, signal });
    if (response.body === null) return response;
    let bytes = 0;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          bytes += chunk.length;
          if (bytes > MOST_ANSWER_BYTES)
            controller.error(new SourceError('source_too_large', 'an answer of the hub is too long'));
          else controller.enqueue(chunk);
        },
      }),
    );
    return new Response(counted, {
      status: response.status,
      statusText: response.statusText,
      headers: [...response.headers],
    });
  };
}

function hubFailure(what: string, url: string, error: unknown): unknown {
  if (error instanceof SourceError || error instanceof StorageError) return error;
  if (error instanceof HubApiError) {
    const code = codeOf(error.statusCode);
    const hint =
      code === 'source_unavailable' ? '' : '; if it is private or gated, set a token that may read it';
    // Without the cause: it knows the request, and with it the token.
    return new SourceError(code, `the hub answered ${error.statusCode} for ${what}${hint}`);
  }
  return unreachable(new URL(url), error);
}

function codeOf(status: number): 'source_denied' | 'source_not_found' | 'source_unavailable' {
  if (status === 401 || status === 403) return 'source_denied';
  return status === 404 ? 'source_not_found' : 'source_unavailable';
}
