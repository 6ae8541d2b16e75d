// `node scripts/compose-secrets.mjs`: makes the passwords and keys of docker-compose.yml, once. What is there already stays as it is.
// The folder is its owner's alone, and the files in it can be read by everybody: whom a container runs as is the image's affair.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ROOT } from './paths.mjs';

const READ_BY_CONTAINERS = 0o444;
const CHANGED_BY_ITS_OWNER = 0o644;

/** Why nothing was made, for the person who ran this. */
class NotMade extends Error {}

/** By file. In hexadecimal, they need no escaping in URLs, YAML and redis.conf. */
const VALUES = new Map([
  ['postgres-password', () => randomBytes(24).toString('hex')],
  ['redis-password', () => randomBytes(24).toString('hex')],
  ['grafana-admin-password', () => randomBytes(24).toString('hex')],
  ['grafana-secret-key', () => randomBytes(32).toString('hex')],
  // An operator's key, as the gateway makes them.
  ['metrics-token', () => `plk_${randomBytes(32).toString('hex')}`],
]);

/** @typedef {(name: string) => string} Value what is in the file of that name */

/**
 * Files that repeat some of those.
 * @type {readonly { path: string, mode: number, of: readonly string[], text: (value: Value) => string }[]}
 */
const REPEATING = [
  {
    path: 'redis.conf',
    mode: READ_BY_CONTAINERS,
    of: ['redis-password'],
    text: (value) => `requirepass ${value('redis-password')}\n`,
  },
  {
    path: 'gateway/polylora.yml',
    mode: CHANGED_BY_ITS_OWNER,
    of: ['metrics-token', 'postgres-password', 'redis-password'],
    text: gatewayConfiguration,
  },
];

/** @param {Value} value */
function gatewayConfiguration(value) {
  return `# The gateway's configuration (docs/configuration.md). It is read again when it changes; some options wait for the next start.

# The first operator's key, with which you make others: polylora keys create --help.
operatorKey: ${value('metrics-token')}
# What keys in the database are hashed with: with another one, no key is known any more. Keep a copy.
secretKey: ${randomBytes(32).toString('hex')}
database: postgres://polylora:${value('postgres-password')}@postgres:5432/polylora
redis: redis://:${value('redis-password')}@redis:6379

# The demo adapters. They fit the default model only: take this line out when you choose another.
adapters: /polylora/examples/adapters
# model: owner/name                  # or a folder or .gguf file in the volume
# cache: semantic                    # answers again what was answered before (docs/cache.md)
# poolMegabytes: 2048                # memory for running requests and adapters together
# trustedProxies: 172.30.80.1        # behind a proxy with TLS on this machine (docs/deployment.md)
# prices:
#   base: { input: 0.10, output: 0.40 }
`;
}

try {
  make();
} catch (error) {
  if (!(error instanceof NotMade)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

/** @throws {NotMade} before anything is written */
function make() {
  const setting = settingIn(join(ROOT, '.env'));
  const folder = resolve(ROOT, setting ?? 'secrets');
  const has = (/** @type {string} */ path) => existsSync(join(folder, path));
  const absent = [...VALUES.keys()].filter((name) => !has(name));
  for (const { path, of } of REPEATING.filter(({ path }) => has(path))) {
    const lost = of.filter((name) => absent.includes(name));
    if (lost.length === 0) continue;
    throw new NotMade(
      `${join(folder, path)} repeats what ${lost.join(' and ')} beside it said, which is not there: put it back, or take both away to have new ones.`,
    );
  }
  makeFolder(folder, 0o700);
  for (const name of absent) write(join(folder, name), `${VALUES.get(name)?.()}`, READ_BY_CONTAINERS);
  const value = (/** @type {string} */ name) => readFileSync(join(folder, name), 'utf8').trim();
  for (const { path, mode, text } of REPEATING.filter(({ path }) => !has(path))) {
    makeFolder(dirname(join(folder, path)), 0o755);
    write(join(folder, path), text(value), mode);
  }
  if (setting === null) {
    // Added to, where somebody has one for other things.
    writeFileSync(join(ROOT, '.env'), '\nCOMPOSE_PROJECT_NAME=polylora\nSECRETS_DIRECTORY=./secrets\n', {
      flag: 'a',
    });
  }
  process.stdout.write(
    `${folder} has the passwords and keys; nothing that was there has changed. Keep it out of backups that others read.\n` +
      `The operator's key is in gateway/polylora.yml, Grafana's password (user admin) in grafana-admin-password.\n` +
      'Now: docker compose up --detach --wait\n',
  );
}

/**
 * @param {string} file
 * @returns {string | null} where it says that the secrets are
 */
function settingIn(file) {
  if (!existsSync(file)) return null;
  return /^SECRETS_DIRECTORY=(.+)$/m.exec(readFileSync(file, 'utf8'))?.[1]?.trim() ?? null;
}

/**
 * Never over one that is there.
 * @param {string} file
 * @param {string} content
 * @param {number} mode whatever the umask
 */
function write(file, content, mode) {
  writeFileSync(file, content, { flag: 'wx' });
  chmodSync(file, mode);
}

/**
 * @param {string} folder
 * @param {number} mode whatever the umask
 */
function makeFolder(folder, mode) {
  if (existsSync(folder)) return;
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, mode);
}
