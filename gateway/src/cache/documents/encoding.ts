import { hash } from 'node:crypto';
import type { CacheDocument, EntryHead } from '../entry.ts';
import type { DocumentBody, ListedHead } from './document-store.ts';

const KEY_BYTES = 16;

/**
 * What a name is found by. Names come from outside: of any length, with NUL or half a surrogate pair, which no database keeps or compares as
 * they are. Their digests are short, all of one length, and as good as different; the names themselves are in the head's JSON, which has all
 * of that escaped.
 */
export function keyOf(name: string): Buffer {
  return hash('sha256', Buffer.from(name, 'utf16le'), 'buffer').subarray(0, KEY_BYTES);
}

export function headText(document: CacheDocument): string {
  const { id, server, partition, exactKey, tenant, model, root, category, tags } = document;
  const { createdAt, expiresAt, bytes, computeSeconds, promptTokens, completionTokens, encoder } = document;
  const head: EntryHead = {
    ...{ id, server, partition, exactKey, tenant, model, root, category, tags, createdAt, expiresAt, bytes },
    ...{ computeSeconds, promptTokens, completionTokens, encoder },
  };
  return JSON.stringify(head);
}

export function bodyText({ question, answer }: CacheDocument): string {
  return JSON.stringify({ question, answer });
}

export function listedHead(head: string, hits: number): ListedHead {
  return { ...(JSON.parse(head) as EntryHead), hits };
}

export function storedBody(body: string, signature: Uint8Array | null): DocumentBody {
  return {
    ...(JSON.parse(body) as Pick<CacheDocument, 'question' | 'answer'>),
    signature: signature === null ? null : new Uint8Array(signature),
  };
}

export function storedDocument(
  head: string,
  body: string,
  vector: Uint8Array | null,
  signature: Uint8Array | null,
): CacheDocument {
  return {
    ...(JSON.parse(head) as EntryHead),
    ...storedBody(body, signature),
    vector: vectorOf(vector),
  };
}

/**
 * Vectors lie as 32-bit floats, in the order of bytes that all processors here have. Eight bits with a scale would change a cosine by up to a few
 * thousandths, where a threshold is a matter of one, and save a kilobyte of an entry that has several.
 */
export function vectorBytes(vector: Float32Array | null): Uint8Array | null {
  // A copy: another thread is given all of the memory in which it lies.
  return vector === null ? null : new Uint8Array(vector.slice().buffer);
}

/** A copy, which begins where floats may. */
export function vectorOf(bytes: Uint8Array | null): Float32Array | null {
  return bytes === null ? null : new Float32Array(new Uint8Array(bytes).buffer);
}
