import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineError } from '../types.ts';
import { parseGgufHeader, readGgufHeader } from './gguf.ts';
import { OutOfBytes } from './gguf-cursor.ts';
import { readGguf } from './gguf-model.ts';

const FIXTURE = readFileSync(
  new URL('../../../test/fixtures/models/gguf/llama-q4_k-q6_k.gguf', import.meta.url),
);

/** A value of GGUF's metadata with its type. */
type Field =
  | readonly ['u32' | 'f32' | 'u64', number]
  | readonly ['string', string]
  | readonly ['raw', Buffer];
interface Tensor {
  readonly name: string;
  readonly dimensions: readonly number[];
  readonly type: number;
  readonly offset: number;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}

function field([type, value]: Field): Buffer {
  switch (type) {
    case 'u32':
      return Buffer.concat([u32(4), u32(value)]);
    case 'f32':
      return Buffer.concat([u32(6), f32(value)]);
    case 'string':
      return Buffer.concat([u32(8), text(value)]);
    case 'u64':
      return Buffer.concat([u32(10), u64(value)]);
    case 'raw':
      return value;
  }
}

/** A GGUF file with `dataBytes` zero bytes of tensors. */
function gguf(
  fields: readonly (readonly [string, Field])[],
  tensors: readonly Tensor[] = [],
  dataBytes = 0,
): Buffer {
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(fields.length),
    ...fields.flatMap(([key, value]) => [text(key), field(value)]),
    ...tensors.flatMap(({ name, dimensions, type, offset }) => [
      text(name),
      u32(dimensions.length),
      ...dimensions.map(u64),
      u32(type),
      u64(offset),
    ]),
  ]);
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(dataBytes)]);
}

const parse = (bytes: Buffer) => parseGgufHeader(bytes, bytes.length);
const tensor = (change: Partial<Tensor> = {}): Tensor => ({
  name: 'w',
  dimensions: [64, 2],
  type: 8,
  offset: 0,
  ...change,
});
const Q8_BYTES = 4 * 34;

describe('GGUF header', () => {
  it('places tensors in the file', () => {
    const bytes = gguf([['general.name', ['string', 'tiny']]], [tensor()], Q8_BYTES);
    const { metadata, tensors } = parse(bytes);
    expect(metadata.get('general.name')).toBe('tiny');
    expect(tensors).toEqual([
      { name: 'w', type: 'Q8_0', dimensions: [64, 2], offset: bytes.length - Q8_BYTES },
    ]);
  });

  it('reads every metadata type', () => {
    const typed = (type: number, ...bytes: number[]): Field => [
      'raw',
      Buffer.from([type, 0, 0, 0, ...bytes]),
    ];
    const { metadata } = parse(
      gguf([
        ['u8', typed(0, 255)],
        ['i8', typed(1, 255)],
        ['u16', typed(2, 255, 255)],
        ['i16', typed(3, 255, 255)],
        ['u32', ['u32', 2 ** 32 - 1]],
        ['i32', typed(5, 255, 255, 255, 255)],
        ['f32', ['f32', 0.5]],
        ['bool', typed(7, 1)],
        ['u64', ['u64', 7]],
        ['i64', typed(11, ...Array<number>(8).fill(255))],
        ['f64', typed(12, 0, 0, 0, 0, 0, 0, 240, 63)],
        ['list', ['raw', Buffer.concat([u32(9), u32(8), u64(2), text('a'), text('b')])]],
      ]),
    );
    expect(Object.fromEntries(metadata)).toEqual({
      u8: 255,
      i8: -1,
      u16: 65535,
      i16: -1,
      u32: 2 ** 32 - 1,
      i32: -1,
      f32: 0.5,
      bool: true,
      u64: 7,
      i64: -1,
      f64: 1,
      list: ['a', 'b'],
    });
  });

  it.each([
    ['another format', Buffer.from('PK\u0003\u0004aaaaaaaaaaaaaaaaaaaaaaaa'), 'not a GGUF file'],
    ['a tensor beyond the file', gguf([], [tensor()], Q8_BYTES - 1), 'w (64×2 of Q8_0 at'],
    [
      'an offset beyond the file',
      gguf([], [tensor({ offset: 2 ** 52 })], Q8_BYTES),
      'does not lie in its file',
    ],
    [
      'dimensions that overflow',
      gguf([], [tensor({ dimensions: [2 ** 40, 2 ** 40] })]),
      'does not lie in its file',
    ],
    ['half a block', gguf([], [tensor({ dimensions: [48, 2] })], 1000), 'does not lie in its file'],
    ['no values', gguf([], [tensor({ dimensions: [0, 2] })]), 'does not lie in its file'],
    ['five dimensions', gguf([], [tensor({ dimensions: [1, 1, 1, 1, 1] })]), 'w has 5 dimensions'],
    ['a tensor twice', gguf([], [tensor(), tensor()], Q8_BYTES), 'w is there twice'],
    [
      'a key twice',
      gguf([
        ['k', ['u32', 1]],
        ['k', ['u32', 2]],
      ]),
      'has k twice',
    ],
    [
      'an unknown value type',
      gguf([['k', ['raw', Buffer.concat([u32(13), Buffer.alloc(8)])]]]),
      'unknown type 13',
    ],
    [
      'a huge count',
      gguf([['k', ['raw', Buffer.concat([u32(9), u32(4), u64(2 ** 50)])]]]),
      'does not fit the file',
    ],
    [
      'a length beyond 2^53',
      gguf([['k', ['raw', Buffer.concat([u32(8), u64(2n ** 60n)])]]]),
      'is out of range',
    ],
    ['a bad alignment', gguf([['general.alignment', ['u32', 3]]]), 'general.alignment is 3'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parse(bytes)).toThrow(message);
  });

  it('refuses arrays nested without end', () => {
    const nested = Buffer.concat(Array<Buffer>(50).fill(Buffer.concat([u32(9), u64(1)])));
    expect(() => parse(gguf([['k', ['raw', Buffer.concat([u32(9), nested])]]]))).toThrow('nested too deep');
  });

  it('names a tensor type and a version that it does not read', () => {
    expect(() => parse(gguf([], [tensor({ type: 23 })], 1000))).toThrow(
      'w is stored as IQ4_XS; supported are F32,',
    );
    const old = gguf([]);
    old.writeUInt32LE(1, 4);
    expect(() => parse(old)).toThrow('GGUF version 1 is not supported');
  });

  it('never does anything but refuse a damaged file', () => {
    const damage = fc.array(fc.tuple(fc.nat(9_000), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(damage, fc.nat(FIXTURE.length), (changes, length) => {
        const bytes = Buffer.from(FIXTURE.subarray(0, length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          const { tensors } = parse(bytes);
          for (const { offset } of tensors) expect(offset).toBeLessThan(bytes.length);
        } catch (error) {
          if (!(error instanceof OutOfBytes)) expect(error).toBeInstanceOf(EngineError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('GGUF model', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'polylora-gguf-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const readFields = async (...fields: (readonly [string, Field])[]) => {
    const file = join(directory, 'model.gguf');
    await writeFile(file, gguf(fields));
    return readGguf(file);
  };
  const llama: readonly (readonly [string, Field])[] = [
    ['general.architecture', ['string', 'llama']],
    ['llama.embedding_length', ['u32', 64]],
    ['llama.attention.head_count', ['u32', 4]],
  ];

  it.each([
    [[['general.architecture', ['string', 'gemma3']]], 'architecture gemma3 is not supported'],
    [[...llama, ['llama.expert_count', ['u32', 8]]], 'llama.expert_count is 8'],
    [[...llama, ['split.count', ['u32', 3]]], 'split.count is 3'],
    [
      [...llama, ['llama.rope.dimension_count', ['u32', 8]]],
      'llama.rope.dimension_count is 8; only the head width, 16',
    ],
    [llama, 'llama.context_length is missing'],
    [
      [
        ...llama,
        ['llama.context_length', ['u32', 64]],
        ['llama.block_count', ['u32', 1]],
        ['llama.feed_forward_length', ['u32', 64]],
        ['llama.attention.layer_norm_rms_epsilon', ['f32', 1e-5]],
        ['llama.rope.scaling.type', ['string', 'yarn']],
        ['tokenizer.ggml.tokens', ['raw', Buffer.concat([u32(9), u32(8), u64(1), text('a')])]],
      ],
      'rotary scaling yarn is not supported',
    ],
    [[['general.architecture', ['u32', 1]]], 'general.architecture is not a string'],
  ] as const)('refuses by name (%#)', async (fields, message) => {
    await expect(readFields(...fields)).rejects.toThrow(message);
  });

  it('says which file is cut short', async () => {
    const file = join(directory, 'short.gguf');
    await writeFile(file, FIXTURE.subarray(0, 500));
    await expect(readGgufHeader(file)).rejects.toThrow(`${file}: the GGUF header is cut short.`);
  });
});
