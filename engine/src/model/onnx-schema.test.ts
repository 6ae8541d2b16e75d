import { describe, expect, it } from 'vitest';
import { attribute, DataType, decodeModel, encodeModel, type ModelProto } from './onnx-schema.ts';

/** Written by the `onnx` Python package 1.23. */
const REFERENCE =
  '080a1208706f6c796c6f72613ae1010a690a01770a0369647312036f75741a076c6f6f6b2d757022064761746865722a0b0a04617869731801a00102' +
  '2a0b0a0166150000003fa001012a110a0266733d0000803e3d00000040a001062a0c0a026e73400140ac02a001072a0b0a01732203712c6ba0010' +
  '33a0164120474696e792a4208020803100a4201776a170a086c6f636174696f6e120b776569676874732e62696e6a0e0a066f6666736574120434' +
  '3039366a0c0a066c656e6774681202313270015a120a03696473120b0a09080712050a0312015462160a036f7574120f0a0d080a12090a0312015' +
  '40a02080342040a00101542050a01641001';

const MODEL: ModelProto = {
  irVersion: 10,
  producerName: 'polylora',
  opsetImport: [
    { domain: '', version: 21 },
    { domain: 'd', version: 1 },
  ],
  graph: {
    name: 'tiny',
    node: [
      {
        name: 'look-up',
        opType: 'Gather',
        domain: 'd',
        input: ['w', 'ids'],
        output: ['out'],
        attribute: [
          attribute.int('axis', 1),
          attribute.float('f', 0.5),
          attribute.floats('fs', [0.25, 2]),
          attribute.ints('ns', [1, 300]),
          attribute.string('s', 'q,k'),
        ],
      },
    ],
    initializer: [
      {
        name: 'w',
        dims: [2, 3],
        dataType: DataType.float16,
        dataLocation: 1,
        externalData: [
          { key: 'location', value: 'weights.bin' },
          { key: 'offset', value: '4096' },
          { key: 'length', value: '12' },
        ],
      },
    ],
    input: [
      {
        name: 'ids',
        type: { tensorType: { elemType: DataType.int64, shape: { dim: [{ dimParam: 'T' }] } } },
      },
    ],
    output: [
      {
        name: 'out',
        type: {
          tensorType: { elemType: DataType.float16, shape: { dim: [{ dimParam: 'T' }, { dimValue: 3 }] } },
        },
      },
    ],
  },
};

describe('ONNX schema', () => {
  it("has ONNX's own field numbers and types", () => {
    const decoded = decodeModel(Buffer.from(REFERENCE, 'hex'));
    expect(decoded.graph.node[0]?.opType).toBe('Gather');
    expect(decoded).toEqual(decodeModel(encodeModel(MODEL)));
  });

  it('refuses what is no model', () => {
    expect(() => encodeModel({ ...MODEL, producerName: 1 } as unknown as ModelProto)).toThrow('producerName');
  });
});
