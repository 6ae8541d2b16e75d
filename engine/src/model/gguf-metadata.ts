import { EngineError } from '../types.ts';
import type { GgufValue } from './gguf.ts';

/** Typed look-ups in a GGUF file's metadata; each names the key in its `model_corrupt` error. */
export class GgufMetadata {
  readonly #values: ReadonlyMap<string, GgufValue>;

  constructor(values: ReadonlyMap<string, GgufValue>) {
    this.#values = values;
  }

  number(key: string, fallback?: number): number {
    const value = this.#values.get(key) ?? fallback;
    return typeof value === 'number' ? value : this.#refuse(key, 'a number');
  }

  /** A number that a file may also give once per layer, where all layers agree. */
  uniform(key: string, fallback?: number): number {
    const value = this.#values.get(key);
    if (!Array.isArray(value)) return this.number(key, fallback);
    const [first] = value;
    if (typeof first !== 'number') return this.#refuse(key, 'a number');
    if (value.some((other) => other !== first)) {
      throw new EngineError('model_not_supported', `${key} differs between layers, which is not supported.`);
    }
    return first;
  }

  string(key: string, fallback?: string): string {
    const value = this.#values.get(key) ?? fallback;
    return typeof value === 'string' ? value : this.#refuse(key, 'a string');
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#values.get(key) ?? fallback;
    return typeof value === 'boolean' ? value : this.#refuse(key, 'a boolean');
  }

  strings(key: string): readonly string[] {
    const value = this.#values.get(key);
    const isStrings = Array.isArray(value) && value.every((item) => typeof item === 'string');
    return isStrings ? (value as readonly string[]) : this.#refuse(key, 'a list of strings');
  }

  numbers(key: string): readonly number[] {
    const value = this.#values.get(key);
    const isNumbers = Array.isArray(value) && value.every((item) => typeof item === 'number');
    return isNumbers ? (value as readonly number[]) : this.#refuse(key, 'a list of numbers');
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  #refuse(key: string, wanted: string): never {
    const found = this.#values.has(key) ? 'is not' : 'is missing; it must be';
    throw new EngineError('model_corrupt', `The GGUF metadata ${key} ${found} ${wanted}.`);
  }
}
