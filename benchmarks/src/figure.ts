// `npm run figure`: lists the figures that the project promises; `npm run figure <name>`: measures one.
import { adapters16x16, adapters16x16PromptHeavy } from './figures/adapters-16x16.ts';
import { greedyF32, parityF32, parityInt8 } from './figures/parity.ts';
import { secondStart } from './figures/second-start.ts';

/** A promised number and the way to measure it. */
export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly asked: string;
  measure(): Promise<Measured>;
}

export interface Measured {
  /** With unit and spread. */
  readonly measured: string;
  readonly met: boolean;
}

const FIGURES: readonly Figure[] = [
  adapters16x16,
  adapters16x16PromptHeavy,
  secondStart,
  parityInt8,
  parityF32,
  greedyF32,
];

const [name] = process.argv.slice(2);
const figure = FIGURES.find((candidate) => candidate.name === name);
if (figure !== undefined) {
  const { measured, met } = await figure.measure();
  console.log(
    `${figure.title}\n  asked:    ${figure.asked}\n  measured: ${measured}\n  ${met ? 'met' : 'not met'}`,
  );
  process.exitCode = met ? 0 : 1;
} else {
  if (name !== undefined) console.error(`There is no figure called ${name}. These are:`);
  for (const each of FIGURES) console.log(`${each.name.padEnd(16)} ${each.title}: ${each.asked}`);
  process.exitCode = name === undefined ? 0 : 1;
}
