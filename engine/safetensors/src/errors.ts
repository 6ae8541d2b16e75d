/** Stable codes of what can be wrong with a safetensors file. */
export type SafetensorsErrorCode =
  /** The file does not exist, is not a regular file or cannot be read. */
  | 'safetensors_unreadable'
  /** The file's name or content is that of a pickle, zip or torch file; such files are never loaded. */
  | 'pickle_refused'
  /** The file ends before its header does. */
  | 'safetensors_truncated'
  | 'safetensors_header_too_large'
  /** The header is not UTF-8, not JSON, or not of the form that the format asks for. */
  | 'safetensors_header_invalid'
  | 'safetensors_duplicate_key'
  | 'safetensors_dtype_unknown'
  | 'safetensors_shape_invalid'
  /** `data_offsets` are not two ascending non-negative integers. */
  | 'safetensors_offsets_invalid'
  | 'safetensors_out_of_bounds'
  /** The bytes between the offsets are not as many as shape and dtype need. */
  | 'safetensors_size_mismatch'
  | 'safetensors_overlap'
  /** Bytes of the file that belong to no tensor. */
  | 'safetensors_hole';

/** A file that is not a valid safetensors file. The message names the file and, where one is at fault, the tensor. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
  readonly code: SafetensorsErrorCode;
  readonly file: string;
  readonly tensor: string | null;
  /** What is wrong, without the file and the tensor. */
  readonly problem: string;

  constructor(
    code: SafetensorsErrorCode,
    file: string,
    problem: string,
    options: ErrorOptions & { readonly tensor?: string } = {},
  ) {
    const where = options.tensor === undefined ? file : `${file}: tensor ${quoteName(options.tensor)}`;
    super(`${where}: ${problem}`, options);
    this.code = code;
    this.file = file;
    this.tensor = options.tensor ?? null;
    this.problem = problem;
  }
}

const LONGEST_QUOTED_NAME = 200;

/** A name from an untrusted file as it may stand in a message: escaped, and cut where it is very long. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > LONGEST_QUOTED_NAME ? `${name.slice(0, LONGEST_QUOTED_NAME)}…` : name);
}
