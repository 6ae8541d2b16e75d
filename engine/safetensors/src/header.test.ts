import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSafetensorsHeader, SafetensorsError, type SafetensorsHeader } from './index.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'polylora-safetensors-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** A file of a header's text, as it is, and `dataBytes` zeros. */
function fileOf(headerText: string | Uint8Array, dataBytes: number): Buffer {
  const header = Buffer.from(headerText);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(dataBytes)]);
}

const read = (bytes: Uint8Array, name = 'x.safetensors', maxHeaderBytes?: number) => {
  const file = join(directory, name);
  writeFileSync(file, bytes);
  return readSafetensorsHeader(file, maxHeaderBytes === undefined ? {} : { maxHeaderBytes });
};

const a = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] };
const b = { dtype: 'BF16', shape: [3], data_offsets: [16, 22] };
const valid = () => fileOf(JSON.stringify({ __metadata__: { format: 'pt' }, b, a }), 22);

describe('a valid file', () => {
  test('gives tensors in order of their bytes, with absolute offsets', async () => {
    const header = await read(valid());
    const dataBegin = valid().length - 22;
    expect([...header.tensors.values()]).toEqual([
      { name: 'a', dtype: 'F32', shape: [2, 2], begin: dataBegin, end: dataBegin + 16 },
      { name: 'b', dtype: 'BF16', shape: [3], begin: dataBegin + 16, end: dataBegin + 22 },
    ]);
    expect(header.metadata).toEqual({ format: 'pt' });
    expect(header.fileBytes).toBe(valid().length);
  });

  test('may be empty, hold scalars, tensors without elements and packed sub-byte types', async () => {
    expect((await read(fileOf('{}', 0))).tensors.size).toBe(0);
    const header = await read(
      fileOf(
        JSON.stringify({
          none: { dtype: 'F32', shape: [0, 4], data_offsets: [0, 0] },
          scalar: { dtype: 'U8', shape: [], data_offsets: [0, 1] },
          packed: { dtype: 'F4', shape: [4], data_offsets: [1, 3] },
        }),
        3,
      ),
    );
    expect([...header.tensors.keys()]).toEqual(['none', 'scalar', 'packed']);
  });

  test('may have a header of 640 bytes, whose length begins like a pickle', async () => {
    const text = JSON.stringify({ a });
    const header = await read(fileOf(text.padEnd(640), 16));
    expect(header.tensors.size).toBe(1);
  });

  test('may name a tensor __proto__', async () => {
    const header = await read(fileOf(`{"__proto__":${JSON.stringify(a)}}`, 16));
    expect(header.tensors.get('__proto__')?.dtype).toBe('F32');
  });
});

describe('a file is refused, with file and tensor named,', () => {
  const entry = (fields: object) => fileOf(JSON.stringify({ 'layer.w': { ...a, ...fields } }), 16);
  test.each<[what: string, bytes: Buffer, code: SafetensorsError['code']]>([
    ['shorter than a length', Buffer.alloc(7), 'safetensors_truncated'],
    ['empty', Buffer.alloc(0), 'safetensors_truncated'],
    ['that ends inside its header', valid().subarray(0, 40), 'safetensors_truncated'],
    ['with a length of 2^64-1', Buffer.alloc(64, 0xff), 'safetensors_header_too_large'],
    ['with a length of 2^53+1', Buffer.from('010000000000200000', 'hex'), 'safetensors_header_too_large'],
    ['with no header', fileOf('', 4), 'safetensors_header_invalid'],
    ['whose header is a list', fileOf('[]', 0), 'safetensors_header_invalid'],
    ['whose header has a byte-order mark', fileOf('\ufeff{}', 0), 'safetensors_header_invalid'],
    [
      'whose header is not UTF-8',
      fileOf(Buffer.from('7b22ff223a317d', 'hex'), 0),
      'safetensors_header_invalid',
    ],
    ['whose header is cut', fileOf('{"a":', 0), 'safetensors_header_invalid'],
    ['with an entry that is a list', fileOf('{"layer.w":[]}', 0), 'safetensors_header_invalid'],
    ['with metadata that are numbers', fileOf('{"__metadata__":{"a":1}}', 0), 'safetensors_header_invalid'],
    [
      'with a tensor twice',
      fileOf(`{"w":${JSON.stringify(a)},"\\u0077":${JSON.stringify(a)}}`, 16),
      'safetensors_duplicate_key',
    ],
    [
      'with a field twice',
      fileOf('{"w":{"dtype":"U8","shape":[1],"shape" :[1],"data_offsets":[0,1]}}', 1),
      'safetensors_duplicate_key',
    ],
    ['with an unknown dtype', entry({ dtype: 'Q8' }), 'safetensors_dtype_unknown'],
    ['with an inherited name as dtype', entry({ dtype: 'toString' }), 'safetensors_dtype_unknown'],
    ['without dtype', entry({ dtype: undefined }), 'safetensors_dtype_unknown'],
    ['with a negative dimension', entry({ shape: [-2, -2] }), 'safetensors_shape_invalid'],
    ['with a fractional dimension', entry({ shape: [0.5, 8] }), 'safetensors_shape_invalid'],
    ['with a dimension of 2^53', entry({ shape: [2 ** 53] }), 'safetensors_shape_invalid'],
    ['whose shape overflows', entry({ shape: [2 ** 40, 2 ** 40, 0] }), 'safetensors_shape_invalid'],
    ['whose shape wraps at 2^64', entry({ shape: [2 ** 32, 2 ** 32, 4] }), 'safetensors_shape_invalid'],
    ['with half a byte', entry({ dtype: 'F4', shape: [3] }), 'safetensors_shape_invalid'],
    ['with one offset', entry({ data_offsets: [0] }), 'safetensors_offsets_invalid'],
    ['with negative offsets', entry({ data_offsets: [-16, 0] }), 'safetensors_offsets_invalid'],
    ['that ends before it begins', entry({ data_offsets: [16, 0] }), 'safetensors_offsets_invalid'],
    ['with offsets beyond the file', entry({ data_offsets: [8, 24] }), 'safetensors_out_of_bounds'],
    ['with too few bytes', entry({ data_offsets: [0, 15] }), 'safetensors_size_mismatch'],
    [
      'with an overlap',
      fileOf(JSON.stringify({ a, c: { ...b, data_offsets: [14, 20] } }), 20),
      'safetensors_overlap',
    ],
    [
      'with a hole',
      fileOf(JSON.stringify({ a, c: { ...b, data_offsets: [17, 23] } }), 23),
      'safetensors_hole',
    ],
    ['with trailing bytes', fileOf(JSON.stringify({ a }), 17), 'safetensors_hole'],
  ])('%s', async (_what, bytes, code) => {
    const error = await read(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SafetensorsError);
    const { code: actual, message, tensor } = error as SafetensorsError;
    expect(actual).toBe(code);
    expect(message).toContain('x.safetensors');
    if (bytes.includes('layer.w'))
      expect([tensor, message]).toEqual(['layer.w', expect.stringContaining('"layer.w"')]);
  });

  test('whose header is longer than the caller allows', async () => {
    await expect(read(valid(), 'x.safetensors', 64)).rejects.toMatchObject({
      code: 'safetensors_header_too_large',
    });
  });

  test('whose header nests 100,000 deep', async () => {
    await expect(read(fileOf(`{"a":${'['.repeat(1e5)}`, 0))).rejects.toBeInstanceOf(SafetensorsError);
    const closed = `{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`;
    await expect(read(fileOf(closed, 0))).rejects.toMatchObject({ code: 'safetensors_header_invalid' });
  });

  test('that is missing, a directory or a named pipe', async () => {
    const unreadable = { code: 'safetensors_unreadable' };
    await expect(readSafetensorsHeader(join(directory, 'missing.safetensors'))).rejects.toMatchObject(
      unreadable,
    );
    await expect(readSafetensorsHeader(directory)).rejects.toMatchObject(unreadable);
    const pipe = join(directory, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    await expect(readSafetensorsHeader(pipe)).rejects.toMatchObject(unreadable);
  });

  test('with a name of control characters and great length, which is escaped and cut', async () => {
    const name = `\u001b[31m\n${'x'.repeat(100_000)}`;
    const error = await read(fileOf(JSON.stringify({ [name]: { ...a, dtype: '?' } }), 16)).catch(
      (thrown) => thrown,
    );
    expect((error as Error).message).not.toMatch(/\p{Cc}/u);
    expect((error as Error).message.length).toBeLessThan(directory.length + 400);
  });
});

test('a pointer of Git LFS is told for what it is', async () => {
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n';
  await expect(read(Buffer.from(pointer))).rejects.toMatchObject({
    code: 'safetensors_header_invalid',
    message: expect.stringContaining('git lfs pull') as string,
  });
});

describe('pickle is refused', () => {
  test.each(['a.bin', 'a.pt', 'a.PTH', 'a.ckpt', 'a.pkl'])(
    'by the name %s, even with safetensors inside',
    async (name) => {
      await expect(read(valid(), name)).rejects.toMatchObject({ code: 'pickle_refused' });
    },
  );

  test.each([
    ['torch.save', '504b03040000080800000000000000000000'],
    ['an empty zip', '504b0506000000000000000000000000000000000000'],
    ['torch.save before 1.6', '80028a0a6cfc9c46f9206aa85019'],
    ['protocol 4', '8004950500000000000000'],
    ['protocol 5, of four bytes', '80054e2e'],
  ])('by content: %s', async (_what, hex) => {
    await expect(read(Buffer.from(hex, 'hex'))).rejects.toMatchObject({ code: 'pickle_refused' });
  });
});

/** What callers rely on, whatever the file was. */
function expectSound({ tensors, fileBytes }: SafetensorsHeader): void {
  let covered: number | null = null;
  for (const { begin, end } of tensors.values()) {
    expect(begin).toBe(covered ?? begin);
    expect(end).toBeGreaterThanOrEqual(begin);
    covered = end;
  }
  expect(covered ?? fileBytes).toBe(fileBytes);
}

async function expectSoundOrRefused(bytes: Uint8Array): Promise<void> {
  try {
    expectSound(await read(bytes, 'mutated.safetensors'));
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
  }
}

/** `npm run fuzz` asks for more. */
const { POLYLORA_FUZZ_RUNS: runs, POLYLORA_FUZZ_SEED: seed } = process.env;
const FUZZ = { numRuns: Number(runs ?? 5_000), ...(seed === undefined ? {} : { seed: Number(seed) }) };
const FUZZ_MILLISECONDS = 60_000 + 20 * FUZZ.numRuns;

describe('thousands of malformed files are sound or refused, nothing else', () => {
  const original = valid();
  const splice = fc.record({
    at: fc.nat({ max: original.length }),
    remove: fc.nat({ max: 12 }),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc
        .constantFrom('{', '}', '"', '[', '0', '-1', '1e9', '9007199254740993', '\\u0061', ',')
        .map((s) => Buffer.from(s)),
    ),
  });
  test(
    'cut and spliced bytes',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(splice, { minLength: 1, maxLength: 4 }), async (splices) => {
          let bytes: Buffer = original;
          for (const { at, remove, insert } of splices) {
            bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
          }
          await expectSoundOrRefused(bytes);
        }),
        FUZZ,
      );
    },
    FUZZ_MILLISECONDS,
  );

  const size = fc.oneof(fc.nat({ max: 40 }), fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e300));
  const dtype = fc.constantFrom('F32', 'BF16', 'U8', 'F4', 'F6_E2M3', 'I64', 'X');
  const tensor = fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        dtype,
        shape: fc.array(size, { maxLength: 3 }),
        data_offsets: fc.array(size, { maxLength: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
  test(
    'well-formed JSON with wrong values',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.dictionary(fc.string(), tensor),
          fc.nat({ max: 64 }),
          async (header, dataBytes) => {
            await expectSoundOrRefused(fileOf(JSON.stringify(header), dataBytes));
          },
        ),
        FUZZ,
      );
    },
    FUZZ_MILLISECONDS,
  );
});
