// `npm run figures`: lists the figures that the project promises.
// `npm run figure <name> [-- --rounds N] [--quick]`: measures one; with `--quick` on less, where it would take long.
import { parseArgs } from 'node:util';
import { type Figure, type FigureOptions, isMet, NotMeasurable } from './figures/figure.ts';
import { FIGURES } from './figures/index.ts';

const NOT_MEASURABLE_STATUS = 2;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, quick: { type: 'boolean', default: false } },
});
const [name] = positionals;
const figure = FIGURES.find((candidate) => candidate.name === name);
if (figure !== undefined) {
  const { rounds, quick } = values;
  process.exitCode = await report(
    figure,
    rounds === undefined ? { quick } : { quick, rounds: Number(rounds) },
  );
} else {
  if (name !== undefined) console.error(`There is no figure called ${name}. These are:`);
  const width = Math.max(...FIGURES.map((each) => each.name.length));
  for (const each of FIGURES) {
    console.log(`${each.name.padEnd(width)}  ${each.must} ${each.bound}  ${each.description}`);
  }
  process.exitCode = name === undefined ? 0 : 1;
}

/** Measures a figure and prints it. @returns the exit status */
async function report(figure: Figure, options: FigureOptions): Promise<number> {
  console.log(figure.description);
  try {
    const { value, details, alsoShort = [] } = await figure.measure(options);
    for (const line of details) console.log(`  ${line}`);
    const short = alsoShort.filter((line) => line !== false);
    for (const line of short) console.log(`  falls short: ${line}`);
    console.log(`${figure.name} ${round(value)} must ${figure.must} ${figure.bound}`);
    return isMet(figure, value) && short.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof NotMeasurable)) throw error;
    console.log(`${figure.name} cannot be measured here: ${error.message}`);
    return NOT_MEASURABLE_STATUS;
  }
}

/** Three significant digits: more would be noise. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}
