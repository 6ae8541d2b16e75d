import type { SafetensorsHeader, SafetensorsTensor } from '@polylora/safetensors';
import type { AdapterIssue } from '../errors.ts';
import type { AdaptedModule, BaseModelShape, TensorLocation } from '../types.ts';
import type { TargetModule } from './target-modules.ts';

/** PEFT's names, with or without the adapter's own name that `state_dict()` leaves in. */
const TENSOR_NAME = /^base_model\.model\.(model\.layers\.\d+\.\w+\.\w+)\.lora_([AB])(?:\.default)?\.weight$/;
const MOST_ISSUES = 100;

/**
 * Finds both tensors of every module that the configuration adapts, and checks their types and shapes.
 *
 * @returns the modules in the order of `targets`, and all that is missing, does not fit or is not asked for
 *   (up to a hundred issues)
 */
export function findTensors(
  header: SafetensorsHeader,
  targets: readonly TargetModule[],
  model: BaseModelShape,
): { readonly modules: readonly AdaptedModule[]; readonly issues: readonly AdapterIssue[] } {
  const { found, issues } = sortTensors(header, new Set(targets.map(({ name }) => name)));
  const modules: AdaptedModule[] = [];
  for (const target of targets) {
    const { layer, module, name, rank, scale } = target;
    const width = model.projection(module);
    const a = locate(found.get(`${name}.lora_A`), `${name}.lora_A`, [rank, width.in], issues);
    const b = locate(found.get(`${name}.lora_B`), `${name}.lora_B`, [width.out, rank], issues);
    if (a !== null && b !== null)
      modules.push({ layer, module, lowRank: [{ rank, scale, a: { tensor: a }, b: { tensor: b } }] });
  }
  return { modules, issues: issues.slice(0, MOST_ISSUES) };
}

/** Tensors by module and side (`model.layers.0.self_attn.q_proj.lora_A`), and those that have no such place. */
function sortTensors(header: SafetensorsHeader, targeted: ReadonlySet<string>) {
  const found = new Map<string, SafetensorsTensor>();
  const issues: AdapterIssue[] = [];
  for (const tensor of header.tensors.values()) {
    const [, module, side] = TENSOR_NAME.exec(tensor.name) ?? [];
    const key = `${module}.lora_${side}`;
    if (module === undefined) issues.push(issueOf(tensor, 'is not a LoRA tensor of a known module'));
    else if (!targeted.has(module))
      issues.push(issueOf(tensor, 'belongs to a module that target_modules leaves out'));
    else if (found.has(key)) issues.push(issueOf(tensor, 'is there twice, with and without ".default"'));
    else found.set(key, tensor);
  }
  return { found, issues };
}

function locate(
  tensor: SafetensorsTensor | undefined,
  name: string,
  expected: readonly [number, number],
  issues: AdapterIssue[],
): TensorLocation | null {
  if (tensor === undefined) {
    issues.push({ where: `base_model.model.${name}.weight`, message: 'is missing' });
    return null;
  }
  const { dtype, shape, begin } = tensor;
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    issues.push(issueOf(tensor, `has dtype ${dtype}, only F32, F16 and BF16 are supported`));
    return null;
  }
  if (shape.length !== 2 || shape[0] !== expected[0] || shape[1] !== expected[1]) {
    const needs = `rank and base model need [${expected.join(', ')}]`;
    issues.push(issueOf(tensor, `has shape [${shape.slice(0, 8).join(', ')}], ${needs}`));
    return null;
  }
  return { file: 0, dtype, shape: expected, begin };
}

function issueOf({ name }: SafetensorsTensor, message: string): AdapterIssue {
  return { where: name, message };
}
