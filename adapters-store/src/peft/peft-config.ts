import { z } from 'zod';
import { type AdapterIssue, printable } from '../errors.ts';
import type { AdapterTask } from '../types.ts';
import { deltaOptions, readDelta } from './methods/delta.ts';
import { IA3_WITHOUT_EFFECT, ia3Options, readIa3 } from './methods/ia3.ts';
import type { AdapterMethod } from './methods/index.ts';
import { LORA_WITHOUT_EFFECT, loraOptions, readLora } from './methods/lora.ts';
import { mosOptions, readMos } from './methods/mos.ts';
import { ROAD_WITHOUT_EFFECT, readRoad, roadOptions } from './methods/road.ts';
import { readVera, VERA_WITHOUT_EFFECT, veraOptions } from './methods/vera.ts';
import { compiled, shown, stringOrList } from './options.ts';
import { PatternCompiler } from './pattern.ts';
import type { Targeting } from './targeting.ts';

/** The options of a configuration that decide what its weights do, with patterns compiled. */
export interface PeftConfig {
  readonly targeting: Targeting;
  readonly method: AdapterMethod;
  readonly task: AdapterTask;
}

/** PEFT's tasks that are served, by what they are here. */
const TASKS = { CAUSAL_LM: 'generate', FEATURE_EXTRACTION: 'embed' } as const;
const TASK_NAMES = ['CAUSAL_LM', 'FEATURE_EXTRACTION'] as const;

/** PEFT's choice for Llama, Mistral and Qwen where a configuration names no modules. */
const DEFAULT_TARGET_MODULES = ['q_proj', 'v_proj'];

/** Options of every method that say nothing about what the trained weights do. */
const WITHOUT_EFFECT = [
  'auto_mapping',
  'fan_in_fan_out', // how the base stores its weight; A and B are stored in one way
  'inference_mode',
  'peft_version',
  'revision',
  'runtime_config',
];

/** A method's own options, those without effect, and what it makes of a configuration. */
interface MethodReader {
  options(patterns: PatternCompiler): z.core.$ZodLooseShape;
  readonly withoutEffect: readonly string[];
  read(options: never): AdapterMethod;
  /** Whether some layers may be chosen. */
  readonly hasLayers: boolean;
}

const METHODS: Readonly<Record<string, MethodReader>> = {
  LORA: { options: loraOptions, withoutEffect: LORA_WITHOUT_EFFECT, read: readLora, hasLayers: true },
  IA3: { options: ia3Options, withoutEffect: IA3_WITHOUT_EFFECT, read: readIa3, hasLayers: false },
  ROAD: { options: roadOptions, withoutEffect: ROAD_WITHOUT_EFFECT, read: readRoad, hasLayers: false },
  VERA: { options: veraOptions, withoutEffect: VERA_WITHOUT_EFFECT, read: readVera, hasLayers: true },
  MOS: { options: mosOptions, withoutEffect: [], read: readMos, hasLayers: true },
  POLYLORA_DELTA: { options: deltaOptions, withoutEffect: [], read: readDelta, hasLayers: false },
};

/** What every configuration has; defaults are those of PEFT 0.21. */
function commonOptions(patterns: PatternCompiler) {
  return {
    peft_type: z.string(),
    task_type: z
      .enum(TASK_NAMES, {
        error: ({ input }) => `${shown(input)} is not supported, only "CAUSAL_LM" and "FEATURE_EXTRACTION"`,
      })
      .nullish(),
    base_model_name_or_path: z.string().nullish(),
    target_modules: stringOrList.nullish().transform(
      compiled((target) => {
        if (typeof target !== 'string') return new Set(target ?? DEFAULT_TARGET_MODULES);
        return target.toLowerCase() === 'all-linear'
          ? 'all-linear'
          : patterns.compile(target, (whole) => whole);
      }),
    ),
    exclude_modules: stringOrList.nullish().transform(
      compiled((excluded) => {
        if (typeof excluded !== 'string') return new Set(excluded ?? []);
        return excluded === '' ? new Set<string>() : patterns.compile(excluded, (whole) => whole);
      }),
    ),
  };
}

function layerOptions(patterns: PatternCompiler) {
  return {
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
  };
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
  const type = options.get('peft_type');
  const reader = typeof type === 'string' && Object.hasOwn(METHODS, type) ? METHODS[type] : undefined;
  if (reader === undefined) {
    const supported = new Intl.ListFormat('en').format(Object.keys(METHODS).map((name) => `"${name}"`));
    return {
      issues: [{ where: 'peft_type', message: `${shown(type)} is not supported, only ${supported}` }],
    };
  }
  return readConfig(raw, options, reader);
}

function readConfig(
  raw: object,
  options: ReadonlyMap<string, unknown>,
  reader: MethodReader,
): { readonly config: PeftConfig } | { readonly issues: readonly AdapterIssue[] } {
  // The schemas are per configuration, since its patterns share a budget.
  const patterns = new PatternCompiler();
  const [commons, layers] = [commonOptions(patterns), layerOptions(patterns)];
  const common = z.looseObject({ ...commons, ...layers });
  const own = z.looseObject(reader.options(patterns));
  const read = common.safeParse(raw);
  const readOwn = own.safeParse(raw);
  const known = new Set([
    ...Object.keys(commons),
    ...(reader.hasLayers ? Object.keys(layers) : []),
    ...Object.keys(own.shape),
    ...WITHOUT_EFFECT,
    ...reader.withoutEffect,
  ]);
  const malformed = [...(read.error?.issues ?? []), ...(readOwn.error?.issues ?? [])];
  const issues = [
    ...malformed.map(({ path, message }) => ({ where: path.join('.'), message })),
    ...unsupportedOptions(options, known),
    ...contradictions(options),
  ];
  if (!read.success || !readOwn.success || issues.length > 0) return { issues };
  const { data } = read;
  return {
    config: {
      targeting: {
        target: data.target_modules,
        excluded: data.exclude_modules,
        layers: layerSet(data.layers_to_transform ?? null),
        layersPattern: data.layers_pattern,
      },
      method: reader.read(readOwn.data as never),
      task: TASKS[data.task_type ?? 'CAUSAL_LM'],
    },
  };
}

/** PEFT takes an empty list for no restriction. */
function layerSet(layers: number | readonly number[] | null): ReadonlySet<number> | null {
  if (layers === null) return null;
  const list = typeof layers === 'number' ? [layers] : layers;
  return list.length === 0 ? null : new Set(list);
}

/** Everything else that a configuration can hold asks for more than its method does here, unless it is empty. */
function unsupportedOptions(
  options: ReadonlyMap<string, unknown>,
  supported: ReadonlySet<string>,
): AdapterIssue[] {
  const init = options.get('init_lora_weights');
  return [...options]
    .filter(([name, value]) => !supported.has(name) && !isEmpty(value))
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
