import type { RE2JS } from 're2js';
import { z } from 'zod';
import { type AdapterIssue, printable } from '../errors.ts';
import { PatternCompiler, PatternError } from './pattern.ts';

/** The options of a PEFT LoRA configuration that decide what its weights do, with patterns compiled. */
export interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Suffixes of module names, a pattern for whole module names, or every linear layer but the output. */
  readonly target: ReadonlySet<string> | RE2JS | 'all-linear';
  /** The first pattern that matches a module's name decides, as in PEFT's `get_pattern_key`. */
  readonly rankPattern: readonly (readonly [RE2JS, number])[];
  readonly alphaPattern: readonly (readonly [RE2JS, number])[];
  readonly rslora: boolean;
  /** null: every layer. */
  readonly layers: ReadonlySet<number> | null;
  /** Patterns whose group `idx` is the layer's index; empty: any. */
  readonly layersPattern: readonly RE2JS[];
}

/** PEFT's choice for Llama, Mistral and Qwen where a configuration names no modules. */
const DEFAULT_TARGET_MODULES = ['q_proj', 'v_proj'];

/**
 * Ways to initialise that leave the base model as it is, so that the saved weights are all there is. The others
 * (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) train against a changed base.
 */
const SUPPORTED_INITIALISATIONS = ['gaussian', 'eva', 'orthogonal', 'mica'];

/** Options that say nothing about what the trained weights do. */
const WITHOUT_EFFECT = new Set([
  'auto_mapping',
  'fan_in_fan_out', // how the base stores its weight; A and B are stored in one way
  'inference_mode',
  'lora_dropout', // in training only
  'megatron_core', // without megatron_config
  'merge_weights', // of PEFT before 0.3
  'peft_version',
  'qalora_group_size', // without use_qalora
  'revision',
  'runtime_config',
]);

const rank = z.int().min(1, 'must be a rank of at least 1');
const stringOrList = z.union([z.string(), z.array(z.string())], 'must be a string or a list of strings');

/** Runs `compile` as a zod transform: a pattern that is refused becomes an issue of the option. */
function compiled<Input, Output>(compile: (input: Input) => Output) {
  return (input: Input, context: z.core.$RefinementCtx<Input>): Output => {
    try {
      return compile(input);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input });
      return z.NEVER;
    }
  };
}

/** Defaults are those of PEFT 0.21. The schema is per configuration, since its patterns share a budget. */
function schemaWith(patterns: PatternCompiler) {
  const byModule = (map: Readonly<Record<string, number>> | null) =>
    Object.entries(map ?? {}).map(
      ([pattern, value]) => [patterns.compile(pattern, (key) => `(.*\\.)?(${key})$`), value] as const,
    );
  return z.looseObject({
    peft_type: z.literal('LORA', { error: ({ input }) => `${shown(input)} is not supported, only "LORA"` }),
    task_type: z
      .literal('CAUSAL_LM', { error: ({ input }) => `${shown(input)} is not supported, only "CAUSAL_LM"` })
      .nullish(),
    base_model_name_or_path: z.string().nullish(),
    r: rank.default(8),
    lora_alpha: z.number().default(8),
    target_modules: stringOrList.nullish().transform(
      compiled((target) => {
        if (typeof target !== 'string') return new Set(target ?? DEFAULT_TARGET_MODULES);
        return target.toLowerCase() === 'all-linear'
          ? 'all-linear'
          : patterns.compile(target, (whole) => whole);
      }),
    ),
    rank_pattern: z.record(z.string(), rank).nullable().default({}).transform(compiled(byModule)),
    alpha_pattern: z.record(z.string(), z.number()).nullable().default({}).transform(compiled(byModule)),
    use_rslora: z.boolean().nullish(),
    layers_to_transform: z
      .union([z.int(), z.array(z.int())], 'must be a layer index or a list of them')
      .nullish(),
    layers_pattern: stringOrList.nullish().transform(
      compiled((given) => {
        const list = typeof given === 'string' ? [given] : (given ?? []);
        return list
          .filter((pattern) => pattern !== '')
          .map((pattern) => patterns.compile(pattern, (name) => `(?:^|.*?\\.)${name}\\.(?P<idx>\\d+)\\.`));
      }),
    ),
    bias: z
      .literal('none', { error: ({ input }) => `${shown(input)} is not supported, only "none"` })
      .default('none'),
    init_lora_weights: z
      .union([z.boolean(), z.string()])
      .nullish()
      .refine((init) => typeof init !== 'string' || SUPPORTED_INITIALISATIONS.includes(init.toLowerCase()), {
        error: ({ input }) =>
          `${shown(input)} is not supported: only true, false, ${SUPPORTED_INITIALISATIONS.join(', ')} are known to ` +
          'leave the base model unchanged; PEFT converts PiSSA, OLoRA, CorDA and LoRA-GA adapters on saving with ' +
          'path_initial_model_for_weight_conversion',
      }),
  });
}

/**
 * Reads a PEFT `adapter_config.json`.
 *
 * @returns the configuration, or all that is wrong with it: malformed and unsupported options by their names
 */
export function parsePeftConfig(
  text: string,
): { readonly config: PeftConfig } | { readonly issues: readonly AdapterIssue[] } {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    return {
      issues: [
        { where: 'adapter_config.json', message: `is not JSON (${printable((error as Error).message)})` },
      ],
    };
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    return { issues: [{ where: 'adapter_config.json', message: 'is not a JSON object' }] };
  }
  const options = new Map(Object.entries(raw));
  const schema = schemaWith(new PatternCompiler());
  const result = schema.safeParse(raw);
  const issues = [
    ...(result.error?.issues ?? []).map(({ path, message }) => ({ where: path.join('.'), message })),
    ...unsupportedOptions(options, new Set(Object.keys(schema.shape))),
    ...contradictions(options),
  ];
  if (!result.success || issues.length > 0) return { issues };
  const { data } = result;
  return {
    config: {
      rank: data.r,
      alpha: data.lora_alpha,
      target: data.target_modules,
      rankPattern: data.rank_pattern,
      alphaPattern: data.alpha_pattern,
      rslora: data.use_rslora ?? false,
      layers: layerSet(data.layers_to_transform ?? null),
      layersPattern: data.layers_pattern,
    },
  };
}

/** PEFT takes an empty list for no restriction. */
function layerSet(layers: number | readonly number[] | null): ReadonlySet<number> | null {
  if (layers === null) return null;
  const list = typeof layers === 'number' ? [layers] : layers;
  return list.length === 0 ? null : new Set(list);
}

/** Everything else that a configuration can hold asks for more than plain LoRA, unless it is empty. */
function unsupportedOptions(
  options: ReadonlyMap<string, unknown>,
  supported: ReadonlySet<string>,
): AdapterIssue[] {
  const init = options.get('init_lora_weights');
  return [...options]
    .filter(([name, value]) => !supported.has(name) && !WITHOUT_EFFECT.has(name) && !isEmpty(value))
    .filter(([name]) => !(name === 'eva_config' && init === 'eva'))
    .map(([name, value]) => ({ where: name, message: `${shown(value)} is not supported` }));
}

/** Pairs of options that PEFT refuses together. */
function contradictions(options: ReadonlyMap<string, unknown>): AdapterIssue[] {
  const layers = options.get('layers_to_transform') ?? null;
  const issues: AdapterIssue[] = [];
  if (typeof options.get('target_modules') === 'string' && layers !== null) {
    issues.push({ where: 'layers_to_transform', message: 'cannot be used where target_modules is a string' });
  }
  if (!isEmpty(options.get('layers_pattern')) && layers === null) {
    issues.push({ where: 'layers_pattern', message: 'cannot be used without layers_to_transform' });
  }
  return issues;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** A value as it may stand in a message. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
