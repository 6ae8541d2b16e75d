import type { SafetensorsErrorCode } from '@polylora/safetensors';

/** Stable codes of why an adapter is refused; a malformed safetensors file keeps its own code. */
export type AdapterErrorCode =
  | SafetensorsErrorCode
  /** A name that is not `[A-Za-z0-9][A-Za-z0-9._-]*`, holds `..` or has more than 128 characters. */
  | 'adapter_name_invalid'
  /** A link that leads out of the adapter's directory. */
  | 'adapter_path_refused'
  | 'adapter_unreadable'
  | 'adapter_config_missing'
  /** adapter_config.json is not JSON, or asks for what is not supported; each issue names an option. */
  | 'adapter_config_invalid'
  | 'adapter_weights_missing'
  /** Tensors that do not fit the configuration or the base model; each issue names a tensor. */
  | 'adapter_tensors_invalid'
  /** NaN, infinite values or values beyond float16; each issue names a tensor. */
  | 'adapter_values_invalid';

/** One thing that is wrong: `where` is an option of adapter_config.json, a tensor's name or a file. */
export interface AdapterIssue {
  readonly where: string;
  readonly message: string;
}

const ISSUES_IN_MESSAGE = 5;

/** An adapter that is refused. `issues` holds all that is wrong at this stage, the message the first of them. */
export class AdapterError extends Error {
  override readonly name = 'AdapterError';
  readonly code: AdapterErrorCode;
  readonly issues: readonly AdapterIssue[];

  constructor(
    code: AdapterErrorCode,
    source: string,
    issues: readonly AdapterIssue[],
    options?: ErrorOptions,
  ) {
    const named = issues.map(({ where, message }) => ({ where: printable(where), message }));
    const shown = named.slice(0, ISSUES_IN_MESSAGE).map(({ where, message }) => `${where}: ${message}`);
    if (issues.length > shown.length) shown.push(`and ${issues.length - shown.length} more`);
    super(`${source}: ${shown.join('; ')}`, options);
    this.code = code;
    this.issues = named;
  }
}

const LONGEST_PRINTED = 200;

/** Text from an untrusted file as it may stand in a message: control characters escaped, cut where very long. */
export function printable(text: string): string {
  return JSON.stringify(text.length > LONGEST_PRINTED ? `${text.slice(0, LONGEST_PRINTED)}…` : text).slice(
    1,
    -1,
  );
}
