import { RE2JS } from 're2js';
import type { AdapterIssue } from '../errors.ts';
import { type BaseModelShape, LORA_MODULES, type LoraModule } from '../types.ts';

/** Which modules a configuration adapts. */
export interface Targeting {
  /** Suffixes of module names, a pattern for whole module names, or every linear layer but the output. */
  readonly target: ReadonlySet<string> | RE2JS | 'all-linear';
  /** Suffixes of module names, or a pattern for whole ones, that are left out. */
  readonly excluded: ReadonlySet<string> | RE2JS;
  /** null: every layer. */
  readonly layers: ReadonlySet<number> | null;
  /** Patterns whose group `idx` is the layer's index; empty: any. */
  readonly layersPattern: readonly RE2JS[];
}

/** A module that a configuration adapts. */
export interface TargetModule {
  readonly layer: number;
  readonly module: LoraModule;
  /** As in transformers: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
}

/** Modules that PEFT can adapt and the engine cannot. */
const OTHER_MODULES = ['lm_head', 'model.embed_tokens'];

/** A module's name in transformers' Llama, Mistral and Qwen models. */
export function moduleName(layer: number, module: LoraModule): string {
  const block =
    module === 'gate_proj' || module === 'up_proj' || module === 'down_proj' ? 'mlp' : 'self_attn';
  return `model.layers.${layer}.${block}.${module}`;
}

/**
 * The modules of a base model that a configuration adapts, in order of layer and `LORA_MODULES`, and what is
 * wrong with that choice. Matching follows PEFT 0.21 (`check_target_module_exists`).
 */
export function resolveTargetModules(
  targeting: Targeting,
  model: BaseModelShape,
): { readonly targets: readonly TargetModule[]; readonly issues: readonly AdapterIssue[] } {
  const targets: TargetModule[] = [];
  for (let layer = 0; layer < model.layerCount; layer += 1) {
    for (const module of LORA_MODULES) {
      const name = moduleName(layer, module);
      if (isTargeted(targeting, name)) targets.push({ layer, module, name });
    }
  }
  const issues: AdapterIssue[] = OTHER_MODULES.filter(
    (name) => targeting.target !== 'all-linear' && isTargeted(targeting, name),
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
  return { targets, issues };
}

function isTargeted(targeting: Targeting, name: string): boolean {
  const { target, excluded, layers } = targeting;
  if (excluded instanceof RE2JS ? excluded.matches(name) : isNamed(excluded, name)) return false;
  if (target === 'all-linear') return true;
  if (target instanceof RE2JS) return target.matches(name);
  // A module that is named in full is adapted whatever its layer.
  if (target.has(name)) return true;
  if (!isNamed(target, name)) return false;
  return layers === null || isInLayers(targeting, layers, name);
}

/** Whether a set has a module's name or an end of it. */
function isNamed(names: ReadonlySet<string>, name: string): boolean {
  return names.size > 0 && (names.has(name) || suffixes(name).some((suffix) => names.has(suffix)));
}

/** `q_proj`, `self_attn.q_proj`, … : looked up one by one, since a configuration may list any number of names. */
function suffixes(name: string): string[] {
  const parts = name.split('.');
  return parts.slice(1).map((_, index) => parts.slice(index + 1).join('.'));
}

function isInLayers(targeting: Targeting, layers: ReadonlySet<number>, name: string): boolean {
  const index = layerIndex(targeting, name);
  return index !== null && layers.has(index);
}

/** The index of the layer that a module is in, as far as `layers_pattern` finds one. */
function layerIndex({ layersPattern }: Targeting, name: string): number | null {
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
