/** What was acknowledged is there after `kill -9`, and nothing half-written is seen. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AdapterDetails,
  AdaptersStore,
  type Database,
  DirectoryBlobs,
  openDatabase,
  readAdapter,
  verifyAudit,
} from '@polylora/adapters-store';
import { LORA_MODULES } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { MODEL, SHAPE } from '../support/store-model.ts';

const KILLS = 30;
const LONGEST_LIFE_MILLISECONDS = 400;
const LANES = 4;
const NAMES = 2;
const WORKER = join(import.meta.dirname, '..', 'support', 'store-worker.mjs');
const OWNER = { tenant: 'acme', key: null };

type Change = { readonly name: string } & (
  | { readonly kind: 'push'; readonly adapter: number; readonly tags: readonly string[] }
  | { readonly kind: 'tag'; readonly tag: string; readonly to: string }
  | { readonly kind: 'untag'; readonly tag: string }
  | { readonly kind: 'grant' | 'revoke'; readonly grantee: string }
  | { readonly kind: 'remove' }
);

type Line =
  | { readonly ready: true }
  | { readonly lane: number; readonly change: Change }
  | { readonly lane: number; readonly done: boolean; readonly error?: string };

/** What a name should be; null: not there. */
type Expected = {
  /** Digests by release number. */
  readonly releases: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly grants: readonly string[];
} | null;

describe('the adapters store under kill -9', () => {
  let home: string;
  const adapters: string[] = [];
  const digests: string[] = [];
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-kill-'));
    for (const seed of [1, 2, 3, 4]) {
      const directory = join(home, `adapter-${seed}`);
      await writeRandomAdapter(directory, MODEL, { rank: seed, seed });
      adapters.push(directory);
      digests.push((await readAdapter(directory, SHAPE)).digest);
    }
  });
  afterAll(() => rm(home, { recursive: true }));

  function stateAfter(state: Expected, change: Change): Expected {
    const { releases, tags, grants } = state ?? { releases: {}, tags: {}, grants: [] };
    switch (change.kind) {
      case 'push': {
        const digest = digests[change.adapter]!;
        const newest = Object.keys(releases).length;
        const number = releases[newest] === digest ? newest : newest + 1;
        const moved = Object.fromEntries(['latest', ...change.tags].map((tag) => [tag, digest]));
        return { releases: { ...releases, [number]: digest }, tags: { ...tags, ...moved }, grants };
      }
      case 'tag':
        return { releases, tags: { ...tags, [change.tag]: releases[change.to.slice(1)]! }, grants };
      case 'untag': {
        const { [change.tag]: _, ...others } = tags;
        return { releases, tags: others, grants };
      }
      case 'grant':
        return { releases, tags, grants: [...new Set([...grants, change.grantee])].sort() };
      case 'revoke':
        return { releases, tags, grants: grants.filter((grantee) => grantee !== change.grantee) };
      case 'remove':
        return null;
    }
  }

  /** Lets a worker change the store for a while. @returns what it was at when it was killed */
  async function workAndDie(expected: Map<string, Expected>): Promise<{ made: number; open: Change[] }> {
    const shapes = Object.fromEntries(LORA_MODULES.map((module) => [module, SHAPE.projection(module)]));
    const { digest, layerCount } = SHAPE;
    const options = { home, adapters, model: { digest, layerCount }, shapes, lanes: LANES, names: NAMES };
    const child = spawn(process.execPath, [WORKER, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const open = new Map<number, Change>();
    let made = 0;
    const lines = createInterface({ input: child.stdout });
    const closed = once(lines, 'close');
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error('the worker ended by itself')));
      lines.on('line', (text) => {
        const line = JSON.parse(text) as Line;
        if ('ready' in line) resolve();
        else if ('change' in line) open.set(line.lane, line.change);
        else {
          const change = open.get(line.lane)!;
          open.delete(line.lane);
          expect(line.error).toBeUndefined();
          if (!line.done) return;
          made++;
          expected.set(change.name, stateAfter(expected.get(change.name) ?? null, change));
        }
      });
    });
    await sleep(Math.random() * LONGEST_LIFE_MILLISECONDS);
    child.kill('SIGKILL');
    // What it told before it died is still read.
    await closed;
    return { made, open: [...open.values()] };
  }

  function storeOn(database: Database, clock = Date.now): AdaptersStore {
    return new AdaptersStore({
      database,
      blobs: new DirectoryBlobs(join(home, 'blobs')),
      staging: join(home, 'staging'),
      model: SHAPE,
      graceSeconds: 3600,
      clock,
    });
  }

  async function actual(store: AdaptersStore, name: string): Promise<Expected> {
    const details: AdapterDetails | null = await store.inspect(name, OWNER).catch(() => null);
    if (details === null) return null;
    for (const { version } of details.releases) {
      const {
        files: [file],
        modules,
      } = await store.weights(version.digest);
      expect((await stat(file.path)).size).toBe(version.bytes);
      expect(file.bytes).toBe(version.bytes);
      expect(modules).toHaveLength(LORA_MODULES.length);
    }
    return {
      releases: Object.fromEntries(details.releases.map(({ number, version }) => [number, version.digest])),
      tags: details.tags,
      grants: details.grants.map(({ grantee }) => grantee).sort(),
    };
  }

  const blobs = async () => {
    const folders = await readdir(join(home, 'blobs'));
    return (await Promise.all(folders.map((folder) => readdir(join(home, 'blobs', folder))))).flat().sort();
  };

  it(`keeps what was acknowledged over ${KILLS} kills, and cleans up behind them`, async () => {
    const expected = new Map<string, Expected>();
    let made = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const round = await workAndDie(expected);
      made += round.made;
      const database = await openDatabase(join(home, 'polylora.db'));
      const store = storeOn(database);
      for (let lane = 0; lane < LANES; lane++) {
        for (let index = 0; index < NAMES; index++) {
          const name = `acme/lane-${lane}-${index}`;
          const before = expected.get(name) ?? null;
          const change = round.open.find((one) => one.name === name);
          const found = await actual(store, name);
          // What was not acknowledged was made as a whole or not at all; one that is refused changes nothing.
          const allowed = [before];
          if (change !== undefined && (before !== null || change.kind === 'push'))
            allowed.push(stateAfter(before, change));
          expect(allowed).toContainEqual(found);
          expected.set(name, found);
        }
      }
      expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
      await database.destroy();
    }
    // Or nothing was tested; how many depends on the machine.
    expect(made).toBeGreaterThan(3 * KILLS);

    const database = await openDatabase(join(home, 'polylora.db'));
    const later = Date.now() + 2 * 3600 * 1000;
    await storeOn(database, () => later).collect();
    const kept = await database.selectFrom('version').select('blob').execute();
    expect(await blobs()).toEqual(kept.map(({ blob }) => `${blob}.safetensors`).sort());
    expect(await readdir(join(home, 'staging'))).toEqual([]);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    await database.destroy();
  }, 240_000);
});
