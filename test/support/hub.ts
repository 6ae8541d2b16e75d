import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const FIRST_BYTES = 200;

interface Repository {
  readonly files: ReadonlyMap<string, Buffer>;
  /** What requests must bring; null: it is public. */
  readonly token: string | null;
}

/** The few routes of the Hugging Face Hub that an import uses, and the server where it keeps large files, over real HTTP. */
export class LocalHub {
  /** What was asked for, with the token that came along. */
  readonly requests: {
    readonly host: 'hub' | 'cdn';
    readonly path: string;
    readonly token: string | null;
  }[] = [];
  /** Large files stop after their first bytes until this is called. */
  release: () => void = () => {};
  /** Where large files are; null: as it is. */
  redirect: string | null = null;
  /** What the next large file is instead of what is listed; null: as listed. */
  instead: Buffer | null = null;
  /** So many of the next answers with a large file break off after their first bytes. */
  breaks = 0;
  /** Lists of files have nothing in them, and always another page. */
  isEndless = false;
  #held: Promise<void> = Promise.resolve();
  readonly #revisions = new Map<string, string>();
  readonly #commits = new Map<string, Repository>();
  readonly #hub = createServer((request, response) => this.#answer(request, response));
  readonly #cdn = createServer((request, response) => void this.#serveLarge(request, response));

  async start(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
  }

  get url(): string {
    return originOf(this.#hub);
  }

  get cdnUrl(): string {
    return originOf(this.#cdn);
  }

  /** Puts files under a revision, as a new commit. @returns the commit */
  commit(
    repo: string,
    files: Readonly<Record<string, Buffer>>,
    token: string | null = null,
    revision = 'main',
  ): string {
    const hash = createHash('sha1').update(`${repo} ${this.#commits.size}`).digest('hex');
    this.#commits.set(`${repo} ${hash}`, { files: new Map(Object.entries(files)), token });
    for (const each of [revision, hash]) this.#revisions.set(`${repo} ${each}`, hash);
    return hash;
  }

  /** Large files stop after their first bytes until `release` is called. */
  hold(): void {
    this.#held = new Promise((resolve) => {
      this.release = resolve;
    });
  }

  async stop(): Promise<void> {
    this.release();
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = this.#note('hub', request);
    const [, repo = '', kind = '', revision = '', file = ''] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/([^/]+)\/?(.*)$/.exec(path) ?? [];
    const commit =
      kind === 'revision' ? this.#revisions.get(`${repo} ${decodeURIComponent(revision)}`) : revision;
    const found = this.#commits.get(`${repo} ${commit}`);
    // The hub says the same of what is private and of what is not there.
    if (found === undefined || (found.token !== null && tokenOf(request) !== found.token)) {
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"Repository not found"}');
    } else if (kind === 'revision') {
      response.end(JSON.stringify({ _id: '1', id: repo, sha: commit, lastModified: '2026-01-01' }));
    } else if (kind === 'tree' && this.isEndless) {
      response.writeHead(200, { link: `<${this.url}${path}?cursor=${this.requests.length}>; rel="next"` });
      response.end('[]');
    } else if (kind === 'tree') {
      response.end(JSON.stringify([...found.files].map(([path, content]) => listed(path, content))));
    } else if (!found.files.has(file)) {
      response.writeHead(404).end('{}');
    } else if (isLarge(file)) {
      const location = this.redirect ?? `${this.cdnUrl}/${repo}/${commit}/${file}`;
      response.writeHead(302, { location }).end();
    } else {
      response.end(found.files.get(file));
    }
  }

  async #serveLarge(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, owner, name, commit, file = ''] = this.#note('cdn', request).split('/');
    const listed = this.#commits.get(`${owner}/${name} ${commit}`)?.files.get(file);
    const content = this.instead ?? listed;
    this.instead = null;
    if (content === undefined) {
      response.writeHead(404).end();
      return;
    }
    const [, from = '0'] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
    const part = content.subarray(Number(from));
    response.writeHead(request.headers.range === undefined ? 200 : 206, { 'content-length': part.length });
    response.write(part.subarray(0, FIRST_BYTES));
    await this.#held;
    if (this.breaks > 0) {
      this.breaks--;
      // Once they are on their way.
      setTimeout(() => response.destroy(), 50);
    } else response.end(part.subarray(FIRST_BYTES));
  }

  #note(host: 'hub' | 'cdn', request: IncomingMessage): string {
    const { pathname } = new URL(request.url ?? '/', 'http://hub');
    this.requests.push({ host, path: pathname, token: tokenOf(request) });
    return pathname;
  }
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function tokenOf({ headers }: IncomingMessage): string | null {
  return headers.authorization?.replace(/^Bearer /, '') ?? null;
}

function isLarge(file: string): boolean {
  return file.endsWith('.safetensors');
}

function listed(path: string, content: Buffer): object {
  const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
  const sha256 = createHash('sha256').update(content).digest('hex');
  const lfs = { oid: sha256, size: content.length, pointerSize: 134 };
  return { type: 'file', path, size: content.length, oid, ...(isLarge(path) ? { lfs } : {}) };
}
