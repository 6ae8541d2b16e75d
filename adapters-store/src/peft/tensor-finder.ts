import type { SafetensorsHeader, SafetensorsTensor } from '@polylora/safetensors';
import type { AdapterIssue } from '../errors.ts';
import type { TensorLocation } from '../types.ts';

const MOST_ISSUES = 100;
/** A tensor of one module, whatever method it belongs to. */
const MODULE_TENSOR = /^(model\.layers\.(\d+)\.\w+\.\w+)\.\w+/;

/** What tensors should belong to. */
interface Plan {
  /** What users call the method. */
  readonly method: string;
  /** Names of the modules that are adapted. */
  readonly targeted: ReadonlySet<string>;
  readonly layerCount: number;
}

const DTYPES = {
  float: ['F32', 'F16', 'BF16'],
  index: ['I32'],
  code: ['U8'],
} as const;
type Dtype = TensorLocation['dtype'];

interface Wanted {
  /** What its values are: float by default. */
  readonly kind?: keyof typeof DTYPES;
  /** How many rows and columns it has where its shape fits, or null. */
  fit(shape: readonly number[]): readonly [rows: number, columns: number] | null;
  /** The shape in words. */
  readonly needs: string;
  /** What to do where it is missing. */
  readonly advice?: string;
}

/** Finds an adapter's tensors by PEFT's names, and collects what is missing, does not fit, or has no place. */
export class TensorFinder {
  readonly #issues: AdapterIssue[] = [];
  readonly #byKey = new Map<string, SafetensorsTensor>();
  readonly #used = new Set<SafetensorsTensor>();
  /** Found before, by several modules. */
  readonly #shared = new Map<string, TensorLocation | null>();

  constructor(header: SafetensorsHeader) {
    for (const tensor of header.tensors.values()) {
      const key = keyOf(tensor.name);
      if (key === null) continue;
      if (this.#byKey.has(key)) {
        this.#used.add(tensor);
        this.#issues.push(issueOf(tensor, 'is there twice, with and without ".default"'));
      } else this.#byKey.set(key, tensor);
    }
  }

  /** A matrix of these rows and columns. */
  matrix(key: string, rows: number, columns: number, kind: Wanted['kind'] = 'float'): TensorLocation | null {
    const fit = (shape: readonly number[]) =>
      shape.length === 2 && shape[0] === rows && shape[1] === columns ? ([rows, columns] as const) : null;
    return this.#find(key, { kind, fit, needs: `[${rows}, ${columns}]` });
  }

  /** So many values, also as a matrix of one row or column. */
  vector(key: string, length: number): TensorLocation | null {
    const fit = (shape: readonly number[]) => {
      const isVector = shape.length <= 2 && shape.every((size) => size === 1 || size === length);
      const values = shape.reduce((product, size) => product * size, 1);
      return isVector && values === length ? ([1, length] as const) : null;
    };
    return this.#find(key, { fit, needs: `[${length}]` });
  }

  /** A matrix that several modules share parts of, so that it may be larger than one of them needs. */
  shared(
    key: string,
    fits: (rows: number, columns: number) => boolean,
    needs: string,
    advice?: string,
  ): TensorLocation | null {
    const known = this.#shared.get(key);
    if (known !== undefined) {
      if (known === null || fits(...known.shape)) return known;
      this.#issues.push({
        where: this.#byKey.get(key)!.name,
        message: `has shape [${known.shape.join(', ')}], ${needs} is needed`,
      });
      return null;
    }
    const fit = ([rows, columns, ...more]: readonly number[]) =>
      rows !== undefined && columns !== undefined && more.length === 0 && fits(rows, columns)
        ? ([rows, columns] as const)
        : null;
    const found = this.#find(key, { fit, needs, ...(advice !== undefined && { advice }) });
    this.#shared.set(key, found);
    return found;
  }

  /** Notes what is wrong with the configuration, given the base model's shapes. */
  refuse(option: string, message: string): void {
    this.#issues.push({ where: option, message });
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /**
   * Everything that is wrong, up to a hundred issues; to be asked when all tensors were found.
   * @param plan for tensors that have no place
   */
  issues(header: SafetensorsHeader, { method, targeted, layerCount }: Plan): readonly AdapterIssue[] {
    const misplaced: AdapterIssue[] = [];
    for (const tensor of header.tensors.values()) {
      if (this.#used.has(tensor)) continue;
      const [, module, layer] = MODULE_TENSOR.exec(keyOf(tensor.name) ?? '') ?? [];
      const message =
        module === undefined || targeted.has(module)
          ? `is not a ${method} tensor of a known module`
          : Number(layer) >= layerCount
            ? `is of layer ${layer}, and the base model's last is ${layerCount - 1}: it was made for another model`
            : 'belongs to a module that target_modules leaves out';
      misplaced.push(issueOf(tensor, message));
    }
    return [...misplaced, ...this.#issues].slice(0, MOST_ISSUES);
  }

  #find(key: string, { kind = 'float', fit, needs, advice }: Wanted): TensorLocation | null {
    const tensor = this.#byKey.get(key);
    if (tensor === undefined) {
      const message = advice === undefined ? 'is missing' : `is missing; ${advice}`;
      this.#issues.push({ where: nameOf(key), message });
      return null;
    }
    this.#used.add(tensor);
    const dtypes: readonly string[] = DTYPES[kind];
    if (!dtypes.includes(tensor.dtype)) {
      const supported = new Intl.ListFormat('en').format(dtypes);
      const message = `has dtype ${tensor.dtype}, only ${supported} ${dtypes.length > 1 ? 'are' : 'is'} supported`;
      this.#issues.push(issueOf(tensor, message));
      return null;
    }
    const shape = fit(tensor.shape);
    if (shape === null) {
      const has = `has shape [${tensor.shape.slice(0, 8).join(', ')}]`;
      this.#issues.push(issueOf(tensor, `${has}, rank and base model need ${needs}`));
      return null;
    }
    return { file: 0, dtype: tensor.dtype as Dtype, shape, begin: tensor.begin };
  }
}

/** A tensor's name without what PEFT puts around it: its wrappers, and the adapter's own name that `state_dict()` leaves in. */
function keyOf(name: string): string | null {
  const key = /^base_model\.(?:model\.(?=model\.))?(.+?)$/.exec(name)?.[1];
  if (key === undefined) return null;
  const plain = key.replace(/\.default(?=\.weight$|$)/, '');
  // Between PEFT 0.9 and 0.11 a magnitude vector was a layer of its own.
  return plain.replace(/(?<=\.lora_magnitude_vector)\.weight$/, '');
}

function nameOf(key: string): string {
  return key.startsWith('model.') ? `base_model.model.${key}` : `base_model.${key}`;
}

function issueOf({ name }: SafetensorsTensor, message: string): AdapterIssue {
  return { where: name, message };
}
