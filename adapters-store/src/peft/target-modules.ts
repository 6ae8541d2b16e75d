import { RE2JS } from 're2js';
import type { AdapterIssue } from '../errors.ts';
import { type BaseModelShape, LORA_MODULES, type LoraModule } from '../types.ts';
import { matchesStart } from './pattern.ts';
import type { PeftConfig } from './peft-config.ts';

/** A module that a configuration adapts, and how. */
export interface TargetModule {
  readonly layer: number;
  readonly module: LoraModule;
  /** As in transformers: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly rank: number;
  readonly scale: number;
}

/** Modules that PEFT can adapt and the engine cannot. */
const OTHER_MODULES = ['lm_head', 'model.embed_tokens'];
/** Weights are kept in float16; a scale beyond it leaves no finite result. */
const LARGEST_SCALE = 65_504;

/** A module's name in transformers' Llama, Mistral and Qwen models. */
export function moduleName(layer: number, module: LoraModule): string {
  const block =
    module === 'gate_proj' || module === 'up_proj' || module === 'down_proj' ? 'mlp' : 'self_attn';
  return `model.layers.${layer}.${block}.${module}`;
}

/**
 * The modules of a base model that a configuration adapts, in order of layer and `LORA_MODULES`, and what is
 * wrong with that choice. Matching follows PEFT 0.21 (`check_target_module_exists`, `get_pattern_key`).
 */
export function resolveTargetModules(
  config: PeftConfig,
  model: BaseModelShape,
): { readonly targets: readonly TargetModule[]; readonly issues: readonly AdapterIssue[] } {
  const targets: TargetModule[] = [];
  for (let layer = 0; layer < model.layerCount; layer += 1) {
    for (const module of LORA_MODULES) {
      const name = moduleName(layer, module);
      if (isTargeted(config, name)) targets.push({ layer, module, name, ...rankAndScale(config, name) });
    }
  }
  const issues: AdapterIssue[] = OTHER_MODULES.filter(
    (name) => config.target !== 'all-linear' && isTargeted(config, name),
  ).map((name) => ({
    where: 'target_modules',
    message: `adapts ${name}, which is not supported; only ${LORA_MODULES.join(', ')} are`,
  }));
  if (targets.length === 0) {
    issues.push({
      where: 'target_modules',
      message: `matches no module of the base model's ${model.layerCount} layers`,
    });
  }
  const beyond = targets.find(({ scale }) => Math.abs(scale) > LARGEST_SCALE);
  if (beyond !== undefined) {
    issues.push({
      where: 'lora_alpha',
      message: `scales ${beyond.name} by ${beyond.scale}, beyond ${LARGEST_SCALE}`,
    });
  }
  return { targets, issues };
}

function isTargeted(config: PeftConfig, name: string): boolean {
  const { target } = config;
  if (target === 'all-linear') return true;
  if (target instanceof RE2JS) return target.matches(name);
  // A module that is named in full is adapted whatever its layer.
  if (target.has(name)) return true;
  if (!suffixes(name).some((suffix) => target.has(suffix))) return false;
  return config.layers === null || isInLayers(config, config.layers, name);
}

/** `q_proj`, `self_attn.q_proj`, … : looked up one by one, since a configuration may list any number of names. */
function suffixes(name: string): string[] {
  const parts = name.split('.');
  return parts.slice(1).map((_, index) => parts.slice(index + 1).join('.'));
}

function isInLayers(config: PeftConfig, layers: ReadonlySet<number>, name: string): boolean {
  const index = layerIndex(config, name);
  return index !== null && layers.has(index);
}

/** The index of the layer that a module is in, as far as `layers_pattern` finds one. */
function layerIndex({ layersPattern }: PeftConfig, name: string): number | null {
  if (layersPattern.length === 0) {
    const index = /\.[^.]*\.(\d+)\./.exec(name)?.[1];
    return index === undefined ? null : Number(index);
  }
  for (const pattern of layersPattern) {
    const matcher = pattern.matcher(name);
    if (matcher.lookingAt()) return Number(matcher.group('idx'));
  }
  return null;
}

function rankAndScale(config: PeftConfig, name: string): { rank: number; scale: number } {
  const firstMatch = (patterns: PeftConfig['rankPattern']) =>
    patterns.find(([pattern]) => matchesStart(pattern, name))?.[1];
  const rank = firstMatch(config.rankPattern) ?? config.rank;
  const alpha = firstMatch(config.alphaPattern) ?? config.alpha;
  return { rank, scale: alpha / (config.rslora ? Math.sqrt(rank) : rank) };
}
