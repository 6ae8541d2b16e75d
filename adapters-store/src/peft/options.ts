/** What the options of several methods have in common. */
import type { RE2JS } from 're2js';
import { z } from 'zod';
import { matchesStart, type PatternCompiler, PatternError } from './pattern.ts';

/** What a function's options are once they are read. */
export type OptionsOf<Options extends (patterns: PatternCompiler) => z.core.$ZodLooseShape> = z.output<
  z.ZodObject<ReturnType<Options>>
>;

/** Values by patterns of module names; the first pattern that matches decides, as in PEFT's `get_pattern_key`. */
export type ByPattern = readonly (readonly [RE2JS, number])[];

/** Weights are kept in float16; a scale beyond it leaves no finite result. */
export const LARGEST_SCALE = 65_504;
export const positiveRank = z.int().min(1, 'must be a rank of at least 1');
export const stringOrList = z.union(
  [z.string(), z.array(z.string())],
  'must be a string or a list of strings',
);
export const onlyWithoutBias = z
  .literal('none', { error: ({ input }) => `${shown(input)} is not supported, only "none"` })
  .default('none');

/** Runs `compile` as a zod transform: a pattern that is refused becomes an issue of the option. */
export function compiled<Input, Output>(compile: (input: Input) => Output) {
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

/** A map from patterns of module names to values. */
export function byModule(patterns: PatternCompiler, value: z.ZodNumber) {
  const compile = (map: Readonly<Record<string, number>> | null): ByPattern =>
    Object.entries(map ?? {}).map(
      ([pattern, of]) => [patterns.compile(pattern, (key) => `(.*\\.)?(${key})$`), of] as const,
    );
  return z.record(z.string(), value).nullable().default({}).transform(compiled(compile));
}

export function byPattern(patterns: ByPattern, name: string): number | undefined {
  return patterns.find(([pattern]) => matchesStart(pattern, name))?.[1];
}

/** A value as it may stand in a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
