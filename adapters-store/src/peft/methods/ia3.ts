/** (IA)³ (Liu et al., 2022), as `IA3Config` of PEFT 0.21 has it: factors of a module's outputs or, feed-forward, of its inputs. */
import { RE2JS } from 're2js';
import { z } from 'zod';
import type { AdaptedModule, ProjectionShape } from '../../types.ts';
import { compiled, type OptionsOf, stringOrList } from '../options.ts';
import type { PatternCompiler } from '../pattern.ts';
import type { TargetModule } from '../targeting.ts';
import type { TensorFinder } from '../tensor-finder.ts';

export interface Ia3Method {
  readonly kind: '(IA)³';
  /** Ends of module names, or a pattern for whole ones. */
  readonly feedForward: readonly string[] | RE2JS;
}

export const IA3_WITHOUT_EFFECT = ['init_ia3_weights'];
/** PEFT's choice for Llama, Mistral and Qwen where a configuration names none. */
const DEFAULT_FEED_FORWARD = ['down_proj'];

export function ia3Options(patterns: PatternCompiler) {
  return {
    feedforward_modules: stringOrList
      .nullish()
      .transform(
        compiled((given) =>
          typeof given === 'string'
            ? patterns.compile(given, (whole) => whole)
            : (given ?? DEFAULT_FEED_FORWARD),
        ),
      ),
    // PEFT's own choice depends on the model, and it writes what it chose.
    target_modules: z.union([z.string(), z.array(z.string())], 'must be named in an (IA)³ configuration'),
  };
}

export function readIa3(options: OptionsOf<typeof ia3Options>): Ia3Method {
  return { kind: '(IA)³', feedForward: options.feedforward_modules };
}

/** As PEFT's `_check_target_module_feedforward`: by the end of the name, dots or not. */
function isFeedForward({ feedForward }: Ia3Method, name: string): boolean {
  if (feedForward instanceof RE2JS) return feedForward.matches(name);
  return feedForward.some((end) => name.endsWith(end));
}

export function ia3Module(
  method: Ia3Method,
  { layer, module, name }: TargetModule,
  shape: ProjectionShape,
  tensors: TensorFinder,
): AdaptedModule | null {
  const isInput = isFeedForward(method, name);
  const factors = tensors.vector(`${name}.ia3_l`, isInput ? shape.in : shape.out);
  if (factors === null) return null;
  const change = { layer, module, lowRank: [] };
  return isInput ? { ...change, input: factors } : { ...change, output: { kind: 'scale', factors } };
}
