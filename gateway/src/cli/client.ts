import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createParser } from 'eventsource-parser';
import { z } from 'zod';
import { CommandError, ConnectionError, RefusalError, UsageError } from './errors.ts';
import type { Form } from './form.ts';

/** Between two signs of life: checking and storing a large adapter takes a while. */
const IDLE_MILLISECONDS = 300_000;
/** The same of a stream that says something each second. */
const SILENT_MILLISECONDS = 15_000;
const MOST_ANSWER_BYTES = 64 << 20;
const PAGE = 1_000;

const failure = z.object({ error: z.object({ message: z.string(), code: z.string() }) });
const entry = z.object({
  name: z.string(),
  owner: z.string(),
  digest: z.string(),
  kind: z.string(),
  bytes: z.number(),
  created: z.number(),
  moved: z.number(),
});
const page = z.object({ data: z.array(z.looseObject({ name: z.string() })), has_more: z.boolean() });
const release = z.object({
  release: z.string(),
  digest: z.string(),
  base_digest: z.string(),
  bytes: z.number(),
  kind: z.string(),
  ranks: z.record(z.string(), z.number()),
  source: z.looseObject({ kind: z.string() }),
  parent: z.string().nullable(),
  note: z.string().nullable(),
  created: z.number(),
  pinned: z.boolean(),
});
const details = z.object({
  name: z.string(),
  owner: z.string(),
  tags: z.record(z.string(), z.string()),
  releases: z.array(release),
  grants: z.array(z.object({ kind: z.string(), grantee: z.string() })),
});
const upload = z.object({ id: z.string(), offset: z.number(), max_chunk_bytes: z.number() });
const job = z.object({
  id: z.string(),
  state: z.enum(['queued', 'fetching', 'storing', 'done', 'failed', 'cancelled']),
  source: z.string(),
  name: z.string(),
  bytes_done: z.number(),
  bytes_total: z.number().nullable(),
  result: z.object({ release: z.string(), digest: z.string() }).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  created: z.number(),
});
const tokenState = z.object({ set: z.boolean() });
const removal = z.object({ removed: z.array(z.string()) });

export type Upload = z.infer<typeof upload>;
export type Entry = z.infer<typeof entry>;
export type AdapterRelease = z.infer<typeof release>;
export type Details = z.infer<typeof details>;
export type ImportJob = z.infer<typeof job>;
/** What an import is asked for with. */
export interface ImportRequest {
  readonly source: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly note: string | null;
}
export type Grantee = { readonly tenant: string } | { readonly key: string };

/** What the server answered, and what this command reads in it. */
export interface Answer<T> {
  readonly json: unknown;
  readonly value: T;
}

interface Body {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/**
 * A client of the admin API's `/admin/v1/adapters`. All that the server says may hold anything: it is escaped where
 * it is shown.
 *
 * Every method throws CommandError where the server refuses, is not there or does not answer as expected.
 */
export class AdminClient {
  readonly #base: URL;
  readonly #operatorKey: string;

  /** @throws UsageError for an address that is none */
  constructor(url: string, operatorKey: string) {
    const base = URL.canParse(url) ? new URL(url) : null;
    if (base === null || !/^https?:$/.test(base.protocol)) {
      throw new UsageError(`'${url}' is not the address of a server, such as http://127.0.0.1:8080.`);
    }
    // The server shows its address with the API's path, for clients of OpenAI's API.
    base.pathname = base.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.#base = base;
    this.#operatorKey = operatorKey;
  }

  /** Where the server is. */
  get origin(): string {
    return this.#base.origin;
  }

  /** Whether there is a server, and it takes this key. */
  async check(): Promise<void> {
    await this.#send('GET', [], null, new URLSearchParams({ limit: '1' }));
  }

  /** @param onSent is told the bytes of each chunk that the connection has taken */
  async push(form: Form, onSent: (bytes: number) => void): Promise<Answer<AdapterRelease>> {
    const content = counted(form.body, onSent);
    const headers = { 'content-type': form.contentType, 'content-length': form.contentLength };
    return understood(release, await this.#send('POST', [], { headers, content }));
  }

  /** Announces an adapter whose weights come in parts. */
  async beginUpload(about: object): Promise<Upload> {
    return understood(upload, await this.#send('POST', ['uploads'], jsonBody(about))).value;
  }

  /** How much of an upload the server has for good. */
  async uploadOffset(id: string): Promise<number> {
    return understood(upload, await this.#send('GET', ['uploads', id])).value.offset;
  }

  /** @returns how much the server has for good now */
  async appendToUpload(
    id: string,
    offset: number,
    chunk: { readonly bytes: number; readonly content: AsyncIterable<Uint8Array> },
    onSent: (bytes: number) => void,
  ): Promise<number> {
    const headers = {
      'content-type': 'application/offset+octet-stream',
      'content-length': chunk.bytes,
      'upload-offset': offset,
    };
    const body = { headers, content: counted(chunk.content, onSent) };
    const answer = await this.#exchange('PATCH', this.#target(['adapters', 'uploads', id]), body, whole);
    const end = Number(answer.headers['upload-offset'] ?? Number.NaN);
    if (answer.status === 204 && Number.isSafeInteger(end)) return end;
    throw this.#refusal(answer.status, parsed(answer.text));
  }

  async completeUpload(id: string): Promise<Answer<AdapterRelease>> {
    return understood(release, await this.#send('POST', ['uploads', id, 'complete']));
  }

  abandonUpload(id: string): Promise<unknown> {
    return this.#send('DELETE', ['uploads', id]);
  }

  /**
   * A version's files as a .tar.
   * @param take reads the archive while it comes
   */
  async download<T>(
    name: string,
    version: string,
    take: (archive: AsyncIterable<Uint8Array>) => Promise<T>,
  ): Promise<T> {
    const target = this.#target(['adapters', name, 'export'], new URLSearchParams({ version }));
    return this.#exchange('GET', target, null, async (response) => {
      const { statusCode = 0 } = response;
      if (statusCode === 200 && response.headers['content-type'] === 'application/x-tar')
        return take(response);
      throw this.#refusal(statusCode, parsed((await whole(response)).text));
    });
  }

  /** All adapters, a page after the other. */
  async list(): Promise<Answer<readonly Entry[]>> {
    const all: unknown[] = [];
    for (let after: string | undefined; ; ) {
      const query = new URLSearchParams({ limit: `${PAGE}`, ...(after === undefined ? {} : { after }) });
      const { data, has_more } = understood(page, await this.#send('GET', [], null, query)).value;
      all.push(...data);
      const last = data.at(-1)?.name;
      if (!has_more || last === undefined || last === after) break;
      after = last;
    }
    return {
      json: { object: 'list', data: all, has_more: false },
      value: understood(z.array(entry), all).value,
    };
  }

  async show(name: string): Promise<Answer<Details>> {
    return understood(details, await this.#send('GET', [name]));
  }

  async remove(name: string): Promise<Answer<readonly string[]>> {
    const { json, value } = understood(removal, await this.#send('DELETE', [name]));
    return { json, value: value.removed };
  }

  tag(name: string, tag: string, version: string): Promise<unknown> {
    return this.#send('PUT', [name, 'tags', tag], jsonBody({ version }));
  }

  untag(name: string, tag: string): Promise<unknown> {
    return this.#send('DELETE', [name, 'tags', tag]);
  }

  grant(name: string, grantee: Grantee, granted: boolean): Promise<unknown> {
    return this.#send(granted ? 'PUT' : 'DELETE', [name, 'grants'], jsonBody(grantee));
  }

  pin(name: string, digest: string, pinned: boolean): Promise<unknown> {
    return this.#send(pinned ? 'PUT' : 'DELETE', [name, 'pins', digest]);
  }

  async import(request: ImportRequest): Promise<Answer<ImportJob>> {
    return understood(job, await this.#send('POST', ['imports'], jsonBody(request)));
  }

  async importOf(id: string): Promise<Answer<ImportJob>> {
    return understood(job, await this.#send('GET', ['imports', id]));
  }

  async imports(): Promise<Answer<readonly ImportJob[]>> {
    const json = await this.#send('GET', ['imports']);
    return { json, value: understood(z.object({ data: z.array(job) }), json).value.data };
  }

  async cancel(id: string): Promise<Answer<ImportJob>> {
    return understood(job, await this.#send('DELETE', ['imports', id]));
  }

  /** @param token null: the server forgets it */
  async setHubToken(token: string | null): Promise<Answer<{ readonly set: boolean }>> {
    const path = ['sources', 'hub', 'token'];
    const asked =
      token === null ? this.#sendTo('DELETE', path) : this.#sendTo('PUT', path, jsonBody({ token }));
    return understood(tokenState, await asked);
  }

  /** Any other request; what it is answered is read by whoever asks. */
  request(
    method: string,
    segments: readonly string[],
    { body, query }: { readonly body?: object; readonly query?: URLSearchParams } = {},
  ): Promise<unknown> {
    return this.#sendTo(method, segments, body === undefined ? null : jsonBody(body), query);
  }

  /**
   * Reads a stream of events until its end.
   * @param leaving ends it before
   */
  async follow(
    segments: readonly string[],
    onEvent: (event: string, json: unknown) => void,
    leaving: AbortSignal,
  ): Promise<void> {
    const read = async (response: IncomingMessage) => {
      const { statusCode = 0, headers } = response;
      if (statusCode !== 200 || !/^text\/event-stream\b/.test(headers['content-type'] ?? ''))
        throw this.#refusal(statusCode, parsed((await whole(response)).text));
      const parser = createParser({
        onEvent: ({ event = 'message', data }) => onEvent(event, parsed(data)),
      });
      response.setEncoding('utf8');
      for await (const text of response) parser.feed(text);
    };
    try {
      const patience = { silentMilliseconds: SILENT_MILLISECONDS, leaving };
      await this.#exchange('GET', this.#target(segments), null, read, patience);
    } catch (error) {
      if (!leaving.aborted) throw error;
    }
  }

  #send(
    method: string,
    segments: readonly string[],
    body: Body | null = null,
    query?: URLSearchParams,
  ): Promise<unknown> {
    return this.#sendTo(method, ['adapters', ...segments], body, query);
  }

  async #sendTo(
    method: string,
    segments: readonly string[],
    body: Body | null = null,
    query?: URLSearchParams,
  ): Promise<unknown> {
    const target = this.#target(segments, query);
    const { status, text } = await this.#exchange(method, target, body, whole);
    const json = parsed(text);
    if (status >= 200 && status < 300 && json !== undefined) return json;
    throw this.#refusal(status, json);
  }

  #target(segments: readonly string[], query?: URLSearchParams): URL {
    const path = ['admin', 'v1', ...segments.map(pathSegment)].join('/');
    const target = new URL(`${this.#base.pathname.replace(/\/$/, '')}/${path}`, this.#base);
    target.search = query?.toString() ?? '';
    return target;
  }

  #refusal(status: number, json: unknown): RefusalError {
    const refusal = failure.safeParse(json);
    if (refusal.success) {
      const { message, code } = refusal.data.error;
      return new RefusalError(`${message} (${code})`, status, code);
    }
    const message = `${this.#base.origin} answered with status ${status}, and not as Polylora does. Is the address right?`;
    return new RefusalError(message, status, null);
  }

  /** @param take reads the answer before its connection is closed */
  async #exchange<T>(
    method: string,
    target: URL,
    body: Body | null,
    take: (response: IncomingMessage) => Promise<T>,
    {
      silentMilliseconds = IDLE_MILLISECONDS,
      leaving,
    }: { readonly silentMilliseconds?: number; readonly leaving?: AbortSignal } = {},
  ): Promise<T> {
    const request = (target.protocol === 'https:' ? requestHttps : requestHttp)(target, {
      method,
      headers: {
        ...body?.headers,
        authorization: `Bearer ${this.#operatorKey}`,
        accept: 'application/json',
        // A server that refuses an upload would otherwise close at once, and its answer be lost with the connection.
        connection: 'keep-alive',
      },
      // One request, one connection: it is closed below.
      agent: false,
      timeout: silentMilliseconds,
      ...(leaving === undefined ? {} : { signal: leaving }),
    });
    const silence = silentMilliseconds === IDLE_MILLISECONDS ? 'minutes' : `${silentMilliseconds / 1000} s`;
    request.on('timeout', () =>
      request.destroy(new ConnectionError(`The server has not answered for ${silence}.`)),
    );
    // After the first error, which is told, there may be more.
    request.on('error', () => {});
    const answered = once(request, 'response').then(([response]) => response as IncomingMessage);
    try {
      const sent = pipeline(Readable.from(body?.content ?? [], { objectMode: false }), request);
      // A refusal may come while the body is still being sent: then it is the answer, and not that this broke off.
      sent.catch(() => {});
      const response = await Promise.race([answered, sent.then(() => answered)]);
      return await take(response);
    } catch (error) {
      throw this.#explained(error);
    } finally {
      request.destroy();
    }
  }

  #explained(error: unknown): unknown {
    if (error instanceof CommandError || !(error instanceof Error) || !('code' in error)) return error;
    const { origin } = this.#base;
    if (
      ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'].includes(
        `${error.code}`,
      )
    ) {
      return new ConnectionError(
        `No server answers at ${origin} (${error.code}). Start one with:\n` +
          '  POLYLORA_OPERATOR_KEY=... npm start\n' +
          'or say where it is with --url or POLYLORA_URL.',
      );
    }
    return new ConnectionError(
      `The connection to ${origin} failed: ${error.message.split('\n', 1)[0] || error.code}.`,
    );
  }
}

async function whole(
  response: IncomingMessage,
): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > MOST_ANSWER_BYTES) throw new CommandError('The answer is too long.');
    chunks.push(chunk as Buffer);
  }
  const { statusCode = 0, headers } = response;
  return { status: statusCode, headers, text: Buffer.concat(chunks).toString('utf8') };
}

async function* counted(
  content: AsyncIterable<Uint8Array>,
  onSent: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of content) {
    yield chunk;
    onSent(chunk.length);
  }
}

/** A slash in a name is written `%2F`; dots alone would be another path, whose method may do something else. */
function pathSegment(text: string): string {
  if (/^\.{0,2}$/.test(text)) throw new UsageError(`'${text}' is not a name, a tag or a digest.`);
  return encodeURIComponent(text);
}

function jsonBody(value: object): Body {
  const content = Buffer.from(JSON.stringify(value));
  return {
    headers: { 'content-type': 'application/json', 'content-length': content.length },
    content: [content],
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function understood<T>(schema: z.ZodType<T>, json: unknown): Answer<T> {
  const result = schema.safeParse(json);
  if (result.success) return { json, value: result.data };
  throw new CommandError(
    'The server answered with something that this command does not understand. Is it of another version?',
  );
}
