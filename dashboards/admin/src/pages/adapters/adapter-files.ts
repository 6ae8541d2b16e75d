/** Which of the files that somebody chose are an adapter's. */
const CONFIG = 'adapter_config.json';
const WEIGHTS = /\.safetensors$/i;
const PICKLES = /\.(bin|pt|pth|pkl|ckpt)$/i;

export interface ChosenFile {
  readonly name: string;
}

export interface Chosen<F extends ChosenFile> {
  readonly config: F | null;
  readonly weights: F | null;
  /** What is wrong with the choice; null while nothing is. */
  readonly problem: string | null;
}

/**
 * Adds files to those that were chosen before: an adapter is a configuration and one file of weights, and what comes
 * beside them in its folder (README, tokenizer) is left out.
 */
export function chooseFiles<F extends ChosenFile>(before: Chosen<F>, files: readonly F[]): Chosen<F> {
  const configs = files.filter(({ name }) => name === CONFIG);
  const others = files.filter(({ name }) => name.endsWith('.json') && name !== CONFIG);
  const weights = files.filter(({ name }) => WEIGHTS.test(name));
  // One file by another name was meant.
  const config = configs[0] ?? (files.length === 1 ? others[0] : undefined) ?? before.config;
  return {
    config,
    weights: weights[0] ?? before.weights,
    problem: problemOf(files, weights.length, configs.length),
  };
}

function problemOf(files: readonly ChosenFile[], weights: number, configs: number): string | null {
  if (weights > 1) return 'These are several files of weights. An adapter has one; choose it alone.';
  if (configs > 1) return `These are several files ${CONFIG}. Choose one adapter’s folder or files.`;
  const isNone = weights === 0 && !files.some(({ name }) => name.endsWith('.json'));
  if (!isNone) return null;
  const pickle = files.find(({ name }) => PICKLES.test(name));
  return pickle === undefined
    ? `None of these is ${CONFIG} or a .safetensors file.`
    : `${pickle.name} is a pickle, which can run code and is never loaded. Save the adapter with safe_serialization=True.`;
}

/** What a configuration says in a line; null where it is not JSON. */
export function aboutConfig(text: string): string | null {
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { peft_type: type, r, target_modules: targets, base_model_name_or_path: base } = config ?? {};
  const parts = [
    typeof type === 'string' ? type : 'no peft_type',
    ...(typeof r === 'number' ? [`rank ${r}`] : []),
    ...(Array.isArray(targets) ? [targets.join(', ')] : []),
    ...(typeof base === 'string' && base !== '' ? [`for ${base}`] : []),
  ];
  return parts.join(' · ');
}
