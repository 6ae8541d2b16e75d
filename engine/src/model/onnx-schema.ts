/**
 * The part of ONNX's protobuf schema (onnx.proto) that the graph writer uses, with its field numbers.
 */
import protobuf from 'protobufjs/light.js';

/** TensorProto.DataType */
export const DataType = { float: 1, uint8: 2, int64: 7, float16: 10 } as const;

const AttributeType = { float: 1, int: 2, string: 3, ints: 7, floats: 6 } as const;

export interface AttributeProto {
  readonly name: string;
  readonly type: number;
  readonly f?: number;
  readonly i?: number;
  readonly s?: Uint8Array;
  readonly floats?: readonly number[];
  readonly ints?: readonly number[];
}

/** Attribute constructors, by ONNX type. */
export const attribute = {
  float: (name: string, f: number): AttributeProto => ({ name, type: AttributeType.float, f }),
  int: (name: string, i: number): AttributeProto => ({ name, type: AttributeType.int, i }),
  string: (name: string, s: string): AttributeProto => ({
    name,
    type: AttributeType.string,
    s: new TextEncoder().encode(s),
  }),
  floats: (name: string, floats: readonly number[]): AttributeProto => ({
    name,
    type: AttributeType.floats,
    floats,
  }),
  ints: (name: string, ints: readonly number[]): AttributeProto => ({ name, type: AttributeType.ints, ints }),
};

export interface NodeProto {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly AttributeProto[];
}

/** A tensor whose values are in another file. */
export interface TensorProto {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly externalData: readonly { readonly key: string; readonly value: string }[];
  /** 1: external */
  readonly dataLocation: 1;
}

type Dimension = { readonly dimValue: number } | { readonly dimParam: string };

export interface ValueInfoProto {
  readonly name: string;
  readonly type: {
    readonly tensorType: {
      readonly elemType: number;
      readonly shape: { readonly dim: readonly Dimension[] };
    };
  };
}

export interface ModelProto {
  readonly irVersion: number;
  readonly producerName: string;
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[];
  readonly graph: {
    readonly name: string;
    readonly node: readonly NodeProto[];
    readonly initializer: readonly TensorProto[];
    readonly input: readonly ValueInfoProto[];
    readonly output: readonly ValueInfoProto[];
  };
}

const repeated = (type: string, id: number) => ({ rule: 'repeated', type, id }) as const;

const schema = protobuf.Root.fromJSON({
  nested: {
    StringStringEntryProto: { fields: { key: { type: 'string', id: 1 }, value: { type: 'string', id: 2 } } },
    AttributeProto: {
      fields: {
        name: { type: 'string', id: 1 },
        f: { type: 'float', id: 2 },
        i: { type: 'int64', id: 3 },
        s: { type: 'bytes', id: 4 },
        floats: repeated('float', 7),
        ints: repeated('int64', 8),
        type: { type: 'int32', id: 20 },
      },
    },
    NodeProto: {
      fields: {
        input: repeated('string', 1),
        output: repeated('string', 2),
        name: { type: 'string', id: 3 },
        opType: { type: 'string', id: 4 },
        attribute: repeated('AttributeProto', 5),
        domain: { type: 'string', id: 7 },
      },
    },
    TensorProto: {
      fields: {
        dims: repeated('int64', 1),
        dataType: { type: 'int32', id: 2 },
        name: { type: 'string', id: 8 },
        externalData: repeated('StringStringEntryProto', 13),
        dataLocation: { type: 'int32', id: 14 },
      },
    },
    Dimension: {
      oneofs: { value: { oneof: ['dimValue', 'dimParam'] } },
      fields: { dimValue: { type: 'int64', id: 1 }, dimParam: { type: 'string', id: 2 } },
    },
    TensorShapeProto: { fields: { dim: repeated('Dimension', 1) } },
    TensorTypeProto: {
      fields: { elemType: { type: 'int32', id: 1 }, shape: { type: 'TensorShapeProto', id: 2 } },
    },
    TypeProto: { fields: { tensorType: { type: 'TensorTypeProto', id: 1 } } },
    ValueInfoProto: { fields: { name: { type: 'string', id: 1 }, type: { type: 'TypeProto', id: 2 } } },
    GraphProto: {
      fields: {
        node: repeated('NodeProto', 1),
        name: { type: 'string', id: 2 },
        initializer: repeated('TensorProto', 5),
        input: repeated('ValueInfoProto', 11),
        output: repeated('ValueInfoProto', 12),
      },
    },
    OperatorSetIdProto: { fields: { domain: { type: 'string', id: 1 }, version: { type: 'int64', id: 2 } } },
    ModelProto: {
      fields: {
        irVersion: { type: 'int64', id: 1 },
        producerName: { type: 'string', id: 2 },
        graph: { type: 'GraphProto', id: 7 },
        opsetImport: repeated('OperatorSetIdProto', 8),
      },
    },
  },
});

const ModelProtoType = schema.lookupType('ModelProto');

/** Serializes a model. Its external tensors must lie beside it. */
export function encodeModel(model: ModelProto): Uint8Array {
  const problem = ModelProtoType.verify(model);
  if (problem !== null) throw new TypeError(`not an ONNX model: ${problem}`);
  return ModelProtoType.encode(model).finish();
}

/** Parses a model that `encodeModel` wrote. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  return ModelProtoType.toObject(ModelProtoType.decode(bytes), {
    longs: Number,
    arrays: true,
  }) as unknown as ModelProto;
}
