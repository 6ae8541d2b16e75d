/** A promised number and the way to measure it. */
export interface Figure {
  readonly name: string;
  /** What is measured, with its unit, in one line. */
  readonly description: string;
  readonly must: Comparison;
  readonly bound: number;
  measure(options: FigureOptions): Promise<Measured>;
}

export type Comparison = '>=' | '<=' | '<';

export interface FigureOptions {
  /** How often each side is measured; without it, as often as the figure needs. */
  readonly rounds?: number;
  /** On less than what is promised, where that would take long: to see that it works. */
  readonly quick?: boolean;
}

export interface Measured {
  readonly value: number;
  /** What it was made of and how it spread, a line each. */
  readonly details: readonly string[];
  /** What else it promises and does not keep, a line each, false where it does: then it falls short whatever its value. */
  readonly alsoShort?: readonly (string | false)[];
}

/** Thrown by a figure whose other side cannot run on this machine. */
export class NotMeasurable extends Error {
  override readonly name = 'NotMeasurable';
}

/** Whether a value keeps a figure's bound. */
export function isMet({ must, bound }: Figure, value: number): boolean {
  switch (must) {
    case '>=':
      return value >= bound;
    case '<=':
      return value <= bound;
    case '<':
      return value < bound;
  }
}
