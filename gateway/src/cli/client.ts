import { once } from 'node:events';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { CommandError, UsageError } from './errors.ts';
import type { Form } from './form.ts';

/** Between two signs of life: checking and storing a large adapter takes a while. */
const IDLE_MILLISECONDS = 300_000;
const MOST_ANSWER_BYTES = 64 << 20;
const PAGE = 1_000;

const failure = z.object({ error: z.object({ message: z.string(), code: z.string() }) });
const entry = z.object({
  name: z.string(),
  owner: z.string(),
  digest: z.string(),
  created: z.number(),
  moved: z.number(),
});
const page = z.object({ data: z.array(z.looseObject({ name: z.string() })), has_more: z.boolean() });
const release = z.object({
  release: z.string(),
  digest: z.string(),
  base_digest: z.string(),
  bytes: z.number(),
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

  /** Whether there is a server, and it takes this key. */
  async check(): Promise<void> {
    await this.#send('GET', [], null, new URLSearchParams({ limit: '1' }));
  }

  /** @param onSent is told the bytes of each chunk that the connection has taken */
  async push(form: Form, onSent: (bytes: number) => void): Promise<Answer<AdapterRelease>> {
    const content = (async function* () {
      for await (const chunk of form.body) {
        yield chunk;
        onSent(chunk.length);
      }
    })();
    const headers = { 'content-type': form.contentType, 'content-length': form.contentLength };
    return understood(release, await this.#send('POST', [], { headers, content }));
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
    const path = ['admin', 'v1', ...segments.map(pathSegment)].join('/');
    const target = new URL(`${this.#base.pathname.replace(/\/$/, '')}/${path}`, this.#base);
    target.search = query?.toString() ?? '';
    const { status, text } = await this.#exchange(method, target, body);
    const json = parsed(text);
    if (status >= 200 && status < 300 && json !== undefined) return json;
    const refusal = failure.safeParse(json);
    if (refusal.success) throw new CommandError(`${refusal.data.error.message} (${refusal.data.error.code})`);
    throw new CommandError(
      `${this.#base.origin} answered with status ${status}, and not as Polylora does. Is the address right?`,
    );
  }

  async #exchange(
    method: string,
    target: URL,
    body: Body | null,
  ): Promise<{ readonly status: number; readonly text: string }> {
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
      timeout: IDLE_MILLISECONDS,
    });
    request.on('timeout', () =>
      request.destroy(new CommandError('The server has not answered for minutes.')),
    );
    // After the first error, which is told, there may be more.
    request.on('error', () => {});
    const answered = once(request, 'response').then(([response]) => response as IncomingMessage);
    try {
      const sent = pipeline(Readable.from(body?.content ?? [], { objectMode: false }), request);
      // A refusal may come while the body is still being sent: then it is the answer, and not that this broke off.
      sent.catch(() => {});
      const response = await Promise.race([answered, sent.then(() => answered)]);
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response) {
        bytes += (chunk as Buffer).length;
        if (bytes > MOST_ANSWER_BYTES) throw new CommandError('The answer is too long.');
        chunks.push(chunk as Buffer);
      }
      return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
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
      return new CommandError(
        `No server answers at ${origin} (${error.code}). Start one with:\n` +
          '  POLYLORA_OPERATOR_KEY=... npm start\n' +
          'or say where it is with --url or POLYLORA_URL.',
      );
    }
    return new CommandError(
      `The connection to ${origin} failed: ${error.message.split('\n', 1)[0] || error.code}.`,
    );
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
