/**
 * Plans the file of external weights: where each tensor lies and how it is made from the source's tensors.
 */
import type { ModelInfo } from '../types.ts';
import type { StoredTensor } from './decoder.ts';
import { DataType, type TensorProto } from './onnx-schema.ts';

export const WEIGHTS_FILE = 'weights.bin';

/** A page on every platform that matters here, so that each tensor can be mapped by itself. */
const ALIGNMENT = 4096;

/** Output channels per panel of a packed matrix. */
const PANEL = 16;

/** One tensor for the addon's `writeWeights` to write, `output` excepted. */
export interface WeightJob {
  readonly sources: readonly StoredTensor[];
  readonly layout: 'int8-panels' | 'f32-panels' | 'f32' | 'f16';
  readonly offset: number;
  readonly group?: number;
  readonly scalesOffset?: number;
}

const BYTES: Record<number, number> = { [DataType.float]: 4, [DataType.float16]: 2, [DataType.uint8]: 1 };

/** Input channels that share a scale in a packed matrix of width k; the last group of a row is filled up with zeros. */
export function quantizationGroup(k: number): 64 | 32 {
  return k % 64 === 0 ? 64 : 32;
}

/** Collects tensors in the order they are added; `jobs` then writes them and `initializers` describes them. */
export class WeightsFile {
  readonly jobs: WeightJob[] = [];
  readonly initializers: TensorProto[] = [];
  #size = 0;
  readonly #weights: ModelInfo['weights'];

  constructor(weights: ModelInfo['weights']) {
    this.#weights = weights;
  }

  /** In bytes. */
  get size(): number {
    return this.#size;
  }

  /** A float32 vector: the sources one after the other. */
  addVector(name: string, sources: readonly StoredTensor[]): string {
    const length = sources.reduce((sum, source) => sum + source.rows, 0);
    const offset = this.#place(name, [length], DataType.float);
    this.jobs.push({ sources, layout: 'f32', offset });
    return name;
  }

  /** The embedding table, row-major: float16 beside int8 weights, float32 otherwise. */
  addTable(name: string, source: StoredTensor): string {
    const half = this.#weights === 'int8';
    const offset = this.#place(name, [source.rows, source.cols], half ? DataType.float16 : DataType.float);
    this.jobs.push({ sources: [source], layout: half ? 'f16' : 'f32', offset });
    return name;
  }

  /** Packed matrices of one width, each beginning with a panel of its own; returns the operator's weight inputs. */
  addMatrix(name: string, sources: readonly StoredTensor[]): string[] {
    const k = sources[0]!.cols;
    const panels = sources.map((source) => Math.ceil(source.rows / PANEL));
    const before = panels.map((_, index) => panels.slice(0, index).reduce((sum, count) => sum + count, 0));
    const all = panels.reduce((sum, count) => sum + count, 0);
    if (this.#weights === 'f32') {
      const start = this.#place(name, [all, k, PANEL], DataType.float);
      for (const [index, source] of sources.entries()) {
        const offset = start + before[index]! * k * PANEL * 4;
        this.jobs.push({ sources: [source], layout: 'f32-panels', offset });
      }
      return [name];
    }
    const group = quantizationGroup(k);
    const groups = Math.ceil(k / group);
    const [codes, scales] = [`${name}.codes`, `${name}.scales`];
    const codesStart = this.#place(codes, [all, groups, group / 4, PANEL, 4], DataType.uint8);
    const scalesStart = this.#place(scales, [all, groups, PANEL], DataType.float);
    for (const [index, source] of sources.entries()) {
      const offset = codesStart + before[index]! * groups * group * PANEL;
      const scalesOffset = scalesStart + before[index]! * groups * PANEL * 4;
      this.jobs.push({ sources: [source], layout: 'int8-panels', offset, group, scalesOffset });
    }
    return [codes, scales];
  }

  #place(name: string, dims: readonly number[], dataType: number): number {
    const offset = Math.ceil(this.#size / ALIGNMENT) * ALIGNMENT;
    const length = dims.reduce((product, dim) => product * dim, BYTES[dataType]!);
    this.#size = offset + length;
    this.initializers.push({
      name,
      dims,
      dataType,
      dataLocation: 1,
      externalData: [
        { key: 'location', value: WEIGHTS_FILE },
        { key: 'offset', value: String(offset) },
        { key: 'length', value: String(length) },
      ],
    });
    return offset;
  }
}
