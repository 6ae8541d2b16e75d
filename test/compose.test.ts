import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../benchmarks/src/http/free-port.ts';
import { loadConfig } from '../gateway/src/config/load.ts';
import { CONFIG_OPTIONS } from '../gateway/src/config/schema.ts';
import { until } from './support/gateway.ts';
import { accessRules, postgresPrograms } from './support/postgres.ts';
import { HAS_REDIS, REDIS_PROGRAM } from './support/redis.ts';
import { trackedFiles } from './support/repository.ts';

const ROOT = join(import.meta.dirname, '..');
const FILE = join(ROOT, 'docker-compose.yml');
const MAKE_SECRETS = 'compose-secrets.mjs';

interface Service {
  readonly image: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly (string | { source: string; target: string })[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<
    Record<string, { ipam?: { config: { subnet: string; gateway: string }[] } } | null>
  >;
  readonly secrets: Readonly<Record<string, { file: string }>>;
}

const compose = parse(readFileSync(FILE, 'utf8'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const tracked = trackedFiles(ROOT);

/** `from:to` or `from:to:ro`; what is from may have colons in braces. */
function mountsOf(service: Service): { from: string; to: string; isReadOnly: boolean }[] {
  return (service.volumes ?? []).map((volume) => {
    const [, from = '', to = '', mode] = /^((?:\$\{[^}]*\}|[^:])+):([^:]+)(?::(\w+))?$/.exec(volume) ?? [];
    return { from, to, isReadOnly: mode === 'ro' };
  });
}

/** A folder of its own in which the script takes itself to be in the repository. */
function repositoryOf(folder: string): string {
  mkdirSync(join(folder, 'scripts'), { recursive: true });
  for (const name of [MAKE_SECRETS, 'paths.mjs'])
    cpSync(join(ROOT, 'scripts', name), join(folder, 'scripts', name));
  return folder;
}

function makeSecrets(repository: string) {
  return spawnSync(process.execPath, [join(repository, 'scripts', MAKE_SECRETS)], { encoding: 'utf8' });
}

/** Every file below a folder with what is in it. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(folder, path)).isFile(),
  );
  return Object.fromEntries(files.sort().map((path) => [path, readFileSync(join(folder, path), 'utf8')]));
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'polylora-compose-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('docker-compose.yml', () => {
  it('has the gateway and what it works with', () => {
    expect(Object.keys(compose.services)).toEqual(['gateway', 'postgres', 'redis', 'prometheus', 'grafana']);
  });

  it.each(services)(
    '%s tells how it is, keeps its data in a volume, and has a pinned image',
    (_, service) => {
      expect(service.healthcheck?.test.length).toBeGreaterThan(1);
      const kept = mountsOf(service).filter(({ from }) => Object.hasOwn(compose.volumes, from));
      expect(kept).toHaveLength(1);
      expect(kept[0]?.isReadOnly).toBe(false);
      expect(service.image).toMatch(/^[a-z][a-z/]*:v?\d+\.\d+(\.\d+)?(-bookworm)?$/);
    },
  );

  it.each(services)('%s is reached from this machine only, and may do no more than it must', (_, service) => {
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(service.read_only).toBe(true);
    expect(service.cap_drop).toEqual(['ALL']);
  });

  it('uses every volume, and waits for what must be there first', () => {
    const used = services.flatMap(([, service]) => mountsOf(service).map(({ from }) => from));
    expect(used).toEqual(expect.arrayContaining(Object.keys(compose.volumes)));
    const waits = services.flatMap(([name, { depends_on = {} }]) =>
      Object.entries(depends_on).map(([other, { condition }]) => `${name} ${other} ${condition}`),
    );
    expect(waits).toEqual([
      'gateway postgres service_healthy',
      'gateway redis service_healthy',
      'grafana prometheus service_healthy',
    ]);
  });

  it.each(services)('%s mounts files that the repository has, and changes none of them', (_, service) => {
    for (const { from, isReadOnly } of mountsOf(service)) {
      if (Object.hasOwn(compose.volumes, from)) continue;
      expect(isReadOnly, from).toBe(true);
      if (from.startsWith('${')) continue;
      const path = from.replace(/^\.\//, '');
      expect(
        tracked.some((file) => file === path || file.startsWith(`${path}/`)),
        `${path} is not there`,
      ).toBe(true);
    }
  });

  it('has no secret in it: each is a file, and without them the reason is said', () => {
    for (const [, { environment = {} }] of services) {
      for (const [name, value] of Object.entries(environment)) {
        if (/PASSWORD|SECRET|TOKEN|KEY/.test(name))
          expect(value, name).toMatch(/^(\/run\/secrets\/|true$|false$)/);
      }
    }
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\$\{SECRETS_DIRECTORY\}\//);
    const text = readFileSync(FILE, 'utf8');
    expect(text).toContain(
      `\${SECRETS_DIRECTORY:?is not set, so run \`node scripts/${MAKE_SECRETS}\` first}`,
    );
    expect(text).not.toMatch(/:\/\/[^/\s]*:[^/\s]*@/);
    const given = services.flatMap(([, { secrets = [] }]) =>
      secrets.map((secret) => (typeof secret === 'string' ? secret : secret.source)),
    );
    expect(new Set(given)).toEqual(new Set(Object.keys(compose.secrets)));
  });

  it('sets options that the gateway has, and nothing that its file could not say otherwise', () => {
    const known = new Set([...CONFIG_OPTIONS.map(({ env }) => env), 'POLYLORA_CONFIG']);
    const names = Object.keys(compose.services.gateway?.environment ?? {});
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  it('scrapes the gateway by its name, with the token that Prometheus is given', () => {
    const configuration = join(ROOT, 'dashboards', 'prometheus');
    const { scrape_configs: jobs } = parse(readFileSync(join(configuration, 'prometheus.yml'), 'utf8')) as {
      scrape_configs: {
        authorization?: { credentials_file: string };
        file_sd_configs?: { files: string[] }[];
      }[];
    };
    const token = compose.services.prometheus?.secrets?.[0] as { target: string };
    expect(join('/etc/prometheus', jobs[0]?.authorization?.credentials_file ?? '')).toBe(token.target);
    expect(jobs[0]?.file_sd_configs?.[0]?.files).toEqual(['targets/*.yml']);
    const targets = readFileSync(join(configuration, 'targets-compose', 'polylora.yml'), 'utf8');
    expect(parse(targets)).toMatchObject([{ targets: ['gateway:8080'] }]);
  });
});

describe.skipIf(postgresPrograms() === null)('PostgreSQL as it is made (needs PostgreSQL)', () => {
  it('asks for the password over the network, and nobody who is in the container', () => {
    const { POSTGRES_INITDB_ARGS = '' } = compose.services.postgres?.environment ?? {};
    const text = accessRules(postgresPrograms() ?? '', POSTGRES_INITDB_ARGS.split(' '));
    const methods = { local: new Set<string>(), host: new Set<string>() };
    for (const [, kind, method] of text.matchAll(/^(local|host)\s.*\s(\S+)$/gm))
      methods[kind as 'local' | 'host'].add(method ?? '');
    expect(methods).toEqual({ local: new Set(['trust']), host: new Set(['scram-sha-256']) });
  });
});

describe('Grafana’s provisioning', () => {
  it('has all the variables that it asks for, and the dashboards where it looks for them', () => {
    const folder = join(ROOT, 'dashboards', 'grafana', 'provisioning');
    const asked = Object.values(contents(folder)).flatMap((text) =>
      [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name),
    );
    const { environment = {} } = compose.services.grafana as Service;
    expect(asked.filter((name) => !Object.hasOwn(environment, name ?? ''))).toEqual([]);
    const mounts = mountsOf(compose.services.grafana as Service).map(({ to }) => to);
    expect(mounts).toContain(environment.POLYLORA_DASHBOARDS);
    const { hostname, port } = new URL(environment.PROMETHEUS_URL ?? '');
    expect(compose.services[hostname]?.healthcheck?.test.join(' ')).toContain(`:${port}/`);
  });
});

describe('the passwords and keys', () => {
  let repository: string;
  beforeAll(() => {
    repository = repositoryOf(join(folder, 'once'));
    expect(makeSecrets(repository)).toMatchObject({ status: 0, stderr: '' });
  });

  it('are one for each secret of the compose file, for their owner and the containers only', () => {
    const secrets = join(repository, 'secrets');
    for (const { file } of Object.values(compose.secrets)) {
      const path = file.replace(/^\$\{SECRETS_DIRECTORY\}/, secrets);
      expect(existsSync(path), path).toBe(true);
    }
    if (process.platform !== 'win32') expect(statSync(secrets).mode & 0o077).toBe(0);
    const values = Object.entries(contents(secrets)).filter(([name]) => !/\.(conf|yml)$/.test(name));
    expect(new Set(values.map(([, value]) => value)).size).toBe(values.length);
    for (const [, value] of values) expect(value).toMatch(/^(plk_)?[0-9a-f]{48,64}$/);
  });

  it('stay as they are when they are made again; another repository has others', () => {
    const before = contents(repository);
    expect(makeSecrets(repository).status).toBe(0);
    expect(contents(repository)).toEqual(before);
    const other = repositoryOf(join(folder, 'other'));
    makeSecrets(other);
    const there = contents(other);
    for (const path of Object.keys(before).filter((name) => name.startsWith('secrets'))) {
      expect(there[path], path).not.toBe(before[path]);
    }
  });

  it('are never told on the terminal', () => {
    const { stdout } = makeSecrets(repository);
    for (const value of Object.values(contents(join(repository, 'secrets'))))
      expect(stdout).not.toContain(value.trim());
  });

  it('are added where one is missing, but not where others repeat it', () => {
    const partial = repositoryOf(join(folder, 'partial'));
    makeSecrets(partial);
    const secrets = join(partial, 'secrets');
    rmSync(join(secrets, 'grafana-secret-key'));
    expect(makeSecrets(partial).status).toBe(0);
    expect(existsSync(join(secrets, 'grafana-secret-key'))).toBe(true);
    rmSync(join(secrets, 'postgres-password'));
    const before = contents(secrets);
    const refused = makeSecrets(partial);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/polylora\.yml repeats what postgres-password .*put it back/);
    expect(contents(secrets)).toEqual(before);
  });

  it('leave what .env said, and are where it says', () => {
    const own = repositoryOf(join(folder, 'own'));
    writeFileSync(join(own, '.env'), 'OTHER=1\nSECRETS_DIRECTORY=./elsewhere');
    makeSecrets(own);
    expect(readFileSync(join(own, '.env'), 'utf8')).toBe('OTHER=1\nSECRETS_DIRECTORY=./elsewhere');
    expect(existsSync(join(own, 'elsewhere', 'gateway', 'polylora.yml'))).toBe(true);
    const others = repositoryOf(join(folder, 'others'));
    writeFileSync(join(others, '.env'), 'OTHER=1');
    makeSecrets(others);
    expect(readFileSync(join(others, '.env'), 'utf8')).toMatch(
      /^OTHER=1\n(\w*=.*\n)*SECRETS_DIRECTORY=\.\/secrets\n$/,
    );
  });

  it('make a configuration that the gateway takes, with the names and passwords of the services', () => {
    const secrets = contents(join(repository, 'secrets'));
    const file = join(repository, 'secrets', 'gateway', 'polylora.yml');
    const config = loadConfig([], { POLYLORA_CONFIG: file });
    const { POSTGRES_USER, POSTGRES_DB } = compose.services.postgres?.environment ?? {};
    const password = secrets['postgres-password'];
    expect(config.database).toBe(`postgres://${POSTGRES_USER}:${password}@postgres:5432/${POSTGRES_DB}`);
    expect(config.operatorKey).toBe(secrets['metrics-token']);
    expect(config.secretKey).toMatch(/^[0-9a-f]{64}$/);
    const demo = tracked.filter((path) => path.startsWith(`${config.adapters?.replace('/polylora/', '')}/`));
    expect(demo.length).toBeGreaterThan(0);
  });

  it('make a configuration that has what a proxy with TLS needs: the address that Compose gives its network', () => {
    const file = join(repository, 'secrets', 'gateway', 'polylora.yml');
    const behind = join(folder, 'behind-a-proxy.yml');
    writeFileSync(behind, readFileSync(file, 'utf8').replace(/^# (trustedProxies: )/m, '$1'));
    const [front] = compose.networks.front?.ipam?.config ?? [];
    const byDefault = (text = '') => text.replace(/\$\{\w+:-([^}]+)\}/, '$1');
    expect(byDefault(front?.subnet)).toBe(`${byDefault(front?.gateway).replace(/\.1$/, '.0')}/24`);
    expect(loadConfig([], { POLYLORA_CONFIG: file }).trustedProxies).toBeNull();
    expect(loadConfig([], { POLYLORA_CONFIG: behind }).trustedProxies).toBe(byDefault(front?.gateway));
  });

  it.skipIf(!HAS_REDIS)('let in the gateway to Redis, and nobody without (needs redis-server)', async () => {
    const port = await freePort();
    const conf = join(repository, 'secrets', 'redis.conf');
    const server = spawn(REDIS_PROGRAM, [conf, '--port', String(port), '--save', ''], { stdio: 'ignore' });
    const file = join(repository, 'secrets', 'gateway', 'polylora.yml');
    const url = new URL(loadConfig([], { POLYLORA_CONFIG: file }).redis ?? '');
    const connect = (password?: string) =>
      new Redis({
        host: '127.0.0.1',
        port,
        ...(password && { password }),
        maxRetriesPerRequest: 20,
        enableReadyCheck: false,
      });
    const known = connect(url.password);
    const stranger = connect();
    for (const client of [known, stranger]) client.on('error', () => {});
    try {
      await until(() =>
        known.ping().then(
          (answer) => answer === 'PONG',
          () => false,
        ),
      );
      await expect(stranger.ping()).rejects.toThrow('NOAUTH');
    } finally {
      known.disconnect();
      stranger.disconnect();
      server.kill();
    }
  });
});

/** Compose as Docker has it or as Debian's package; null: neither is there. */
const program = [['docker', 'compose'], ['docker-compose']].find(
  ([command = '', ...rest]) => spawnSync(command, [...rest, 'version']).status === 0,
);

describe.skipIf(program === undefined)(
  'docker compose config (needs Docker’s plugin or Debian’s docker-compose)',
  () => {
    const [command = '', ...rest] = program ?? [];

    it('takes the file', () => {
      const env = { ...process.env, SECRETS_DIRECTORY: './secrets' };
      const args = [...rest, '--file', FILE, 'config'];
      const resolved = parse(execFileSync(command, args, { env, encoding: 'utf8', cwd: ROOT })) as Compose;
      expect(new Set(Object.keys(resolved.services))).toEqual(new Set(Object.keys(compose.services)));
    });

    it('says how to make the secrets where there are none', () => {
      const { SECRETS_DIRECTORY: _, ...env } = process.env;
      // From elsewhere: a developer's own .env would have it.
      const alone = join(folder, 'alone');
      mkdirSync(alone);
      cpSync(FILE, join(alone, 'docker-compose.yml'));
      const answer = spawnSync(command, [...rest, 'config'], { env, encoding: 'utf8', cwd: alone });
      expect(answer.status).not.toBe(0);
      expect(answer.stderr).toContain(`node scripts/${MAKE_SECRETS}`);
    });
  },
);
