import { hash } from 'node:crypto';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gzip, constants as zlib } from 'node:zlib';

type Encoding = 'br' | 'gzip' | 'identity';

/** A file as it is sent. */
export interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly encoding: Encoding;
  readonly etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};
/** Those that are compressed already. */
const COMPRESSED: ReadonlySet<string> = new Set(['.png', '.webp', '.woff2']);
/** Smaller ones are in one packet anyway. */
const LEAST_COMPRESSED_BYTES = 512;

const brotli = promisify(brotliCompress);
const gzipped = promisify(gzip);

/** A file in memory. It is compressed once, as well as can be, when a browser first asks for it so. */
export class StaticFile {
  readonly type: string;
  readonly #bytes: Buffer;
  readonly #isCompressible: boolean;
  readonly #encoded = new Map<Encoding, Promise<Encoded>>();

  constructor(name: string, bytes: Buffer) {
    const extension = extname(name);
    this.type = TYPES[extension] ?? 'application/octet-stream';
    this.#bytes = bytes;
    this.#isCompressible = !COMPRESSED.has(extension) && bytes.length >= LEAST_COMPRESSED_BYTES;
  }

  /** @param accepted a request's `accept-encoding` */
  encoded(accepted: string | undefined): Promise<Encoded> {
    const encoding = this.#isCompressible ? encodingOf(accepted) : 'identity';
    const known = this.#encoded.get(encoding);
    if (known !== undefined) return known;
    const made = this.#encode(encoding);
    this.#encoded.set(encoding, made);
    return made;
  }

  async #encode(encoding: Encoding): Promise<Encoded> {
    const bytes = new Uint8Array(await compressed(this.#bytes, encoding));
    return { bytes, encoding, etag: `"${hash('sha256', bytes, 'base64url')}"` };
  }
}

/** In a thread of Node's, so that requests go on meanwhile. */
async function compressed(bytes: Buffer, encoding: Encoding): Promise<Buffer> {
  switch (encoding) {
    case 'br':
      return brotli(bytes, {
        params: {
          [zlib.BROTLI_PARAM_QUALITY]: zlib.BROTLI_MAX_QUALITY,
          [zlib.BROTLI_PARAM_SIZE_HINT]: bytes.length,
        },
      });
    case 'gzip':
      return gzipped(bytes, { level: zlib.Z_BEST_COMPRESSION });
    case 'identity':
      return bytes;
  }
}

/** The best that is accepted. A browser's own wish among them does not matter. */
function encodingOf(accepted = ''): Encoding {
  const isAccepted = (encoding: Encoding) =>
    accepted.split(',').some((each) => {
      const [name = '', ...parameters] = each.split(';').map((part) => part.trim().toLowerCase());
      return name === encoding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    });
  return isAccepted('br') ? 'br' : isAccepted('gzip') ? 'gzip' : 'identity';
}
