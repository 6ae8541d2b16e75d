/** GPTCache, outside the product: installed for the benchmark alone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { run } from '../command.ts';
import { ROOT } from '../paths.ts';
import { installStep } from '../peers/install-step.ts';
import type { EmbeddedText } from './question-vectors.ts';

const PACKAGES = ['gptcache==0.1.44', 'faiss-cpu==1.15.1', 'sqlalchemy'];
const SCRIPT = join(ROOT, 'benchmarks', 'python', 'gptcache_lookups.py');

export interface GptCacheAsked {
  readonly entries: readonly EmbeddedText[];
  readonly asked: readonly EmbeddedText[];
  readonly pairs: readonly (readonly [EmbeddedText, EmbeddedText])[];
}

export interface GptCacheAnswered {
  /** Milliseconds of each question. */
  readonly lookups: readonly number[];
  /** How alike it finds each pair, from 0 to 4. */
  readonly scores: readonly number[];
}

/** Fills a GPTCache and asks it. @throws Error where it cannot be installed, or fails */
export async function askGptCache({ entries, asked, pairs }: GptCacheAsked): Promise<GptCacheAnswered> {
  const folder = await installStep('gptcache', PACKAGES, async (into) => {
    const logFile = join(into, 'install.log');
    await run('python3', ['-m', 'venv', '--clear', into], { logFile });
    const flags = ['-m', 'pip', '--disable-pip-version-check', 'install', '--only-binary', ':all:'];
    await run(join(into, 'bin', 'python'), [...flags, ...PACKAGES], { logFile });
  });
  const child = spawn(join(folder, 'bin', 'python'), [SCRIPT], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // It would install packages by itself, and use as many threads as there are cores.
    env: { ...process.env, OMP_NUM_THREADS: '1', PIP_NO_INDEX: '1' },
  });
  const [answered, complaints] = [text(child.stdout), text(child.stderr)];
  const directory = mkdtempSync(join(tmpdir(), 'polylora-gptcache-'));
  try {
    const vectors = join(directory, 'vectors.f32');
    const all = [...entries, ...asked, ...pairs.flat()];
    writeFileSync(vectors, Buffer.concat(all.map(({ vector }) => Buffer.from(vector.slice().buffer))));
    const textsOf = (list: readonly EmbeddedText[]) => list.map(({ text }) => text);
    const input = { entries: textsOf(entries), asked: textsOf(asked), pairs: pairs.map(textsOf), vectors };
    child.stdin.end(JSON.stringify(input));
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`GPTCache ended with status ${status}:\n${await complaints}`);
    return JSON.parse(await answered) as GptCacheAnswered;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
