import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { receiveUpload } from './multipart.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-upload-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const LIMIT = 300_000;

const BOUNDARY = 'frontier';

function part(disposition: string, content: string): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
}

const FILE = 'name="file"; filename="a.jsonl"';
const END = `--${BOUNDARY}--\r\n`;

function post(body: RequestInit['body'], contentType = `multipart/form-data; boundary=${BOUNDARY}`): Request {
  const init = { method: 'POST', body, headers: { 'content-type': contentType }, duplex: 'half' };
  return new Request('http://localhost/', init as RequestInit);
}

function receive(request: Request) {
  return receiveUpload(request, { file: { path: join(folder, 'content'), limitBytes: LIMIT } });
}

async function refusal(request: Request): Promise<string> {
  return receive(request).then(
    () => 'accepted',
    (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
  );
}

describe('receiveUpload', () => {
  it.each(['purpose first', 'file first'])('writes the file and reads the fields (%s)', async (order) => {
    const content = '{"a": "ü"}\r\n'.repeat(20_000);
    const parts = [part('name="purpose"', 'batch'), part(FILE, content)];
    const body = (order === 'file first' ? parts.reverse() : parts).join('') + END;
    expect(await receive(post(body))).toEqual({
      fields: { purpose: 'batch' },
      files: { file: { filename: 'a.jsonl', bytes: Buffer.byteLength(content) } },
    });
    expect(await readFile(join(folder, 'content'), 'utf8')).toBe(content);
  });

  it('takes a file of exactly the limit, and none that is larger by a byte', async () => {
    const upload = (bytes: number) => post(part(FILE, 'x'.repeat(bytes)) + END);
    expect((await receive(upload(LIMIT))).files.file?.bytes).toBe(LIMIT);
    await rm(join(folder, 'content'));
    expect(await refusal(upload(LIMIT + 1))).toBe('file_too_large');
  });

  it('refuses at once what is announced too large', async () => {
    let isRead = false;
    const body = new ReadableStream(
      {
        pull: () => {
          isRead = true;
        },
      },
      { highWaterMark: 0 },
    );
    const request = post(body);
    request.headers.set('content-length', String(10 * LIMIT));
    expect(await refusal(request)).toBe('file_too_large');
    expect(isRead).toBe(false);
  });

  it('gives up on an endless file at the limit', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from(part(FILE, '').slice(0, -2))),
      pull: (controller) => {
        sent += 10_000;
        controller.enqueue(new Uint8Array(10_000).fill(0x78));
      },
    });
    expect(await refusal(post(body))).toBe('file_too_large');
    expect(sent).toBeLessThan(10 * LIMIT);
  });

  it('keeps each of several files within its own limit', async () => {
    const upload = (small: number, large: number) =>
      receiveUpload(
        post(
          part('name="small"; filename="s"', 'x'.repeat(small)) +
            part('name="large"; filename="l"', 'y'.repeat(large)) +
            END,
        ),
        {
          small: { path: join(folder, 'small'), limitBytes: 10 },
          large: { path: join(folder, 'large'), limitBytes: LIMIT },
        },
      );
    const { files } = await upload(10, LIMIT);
    expect([files.small?.bytes, files.large?.bytes]).toEqual([10, LIMIT]);
    for (const name of ['small', 'large']) await rm(join(folder, name));
    await expect(upload(11, 1)).rejects.toMatchObject({ code: 'file_too_large', param: 'small' });
  });

  it('has no file where the form has none', async () => {
    expect(await receive(post(part('name="purpose"', 'batch') + END))).toEqual({
      fields: { purpose: 'batch' },
      files: {},
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['another media type', 'unsupported_media_type', post('{}', 'application/json')],
    ['no boundary', 'invalid_multipart', post('x', 'multipart/form-data')],
    ['no parts', 'invalid_multipart', post('nothing like a form')],
    ['a form that breaks off in its file', 'invalid_multipart', post(part(FILE, 'x'.repeat(1000)))],
    ['a form that breaks off in a header', 'invalid_multipart', post(`--${BOUNDARY}\r\nContent-Dis`)],
    ['a file under another name', 'invalid_multipart', post(part('name="f"; filename="a"', 'x') + END)],
    ['two files', 'invalid_multipart', post(part(FILE, 'x') + part(FILE, 'y') + END)],
    ['a field that is too long', 'string_above_max_length', post(part('name="a"', 'b'.repeat(5000)) + END)],
    ['many fields', 'invalid_multipart', post(part('name="a"', 'b').repeat(30) + END)],
  ])('refuses %s', async (_, code, request) => {
    expect(await refusal(request)).toBe(code);
  });

  it('notices a client that leaves', async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from(part(FILE, 'x'.repeat(1000)))),
      pull: (controller) => controller.error(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
    });
    expect(await refusal(post(body))).toBe('client_closed_request');
  });
});
