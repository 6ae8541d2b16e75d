import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyAudit } from '../metadata/audit-log.ts';
import { type Database, openDatabase } from '../metadata/database.ts';
import { parseSecretKey, readSecretKey } from './secret-key.ts';
import { Secrets } from './secrets.ts';

const ACTOR = { tenant: 'operator', key: null };
const TOKEN = 'hf_canary';

let folder: string;
let database: Database;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polylora-secrets-'));
  database = await openDatabase(join(folder, 'polylora.db'));
});
afterEach(async () => {
  await database.destroy();
  await rm(folder, { recursive: true });
});

const secretsOf = (key: Buffer) => new Secrets(database, async () => key);
const row = () => database.selectFrom('secret').selectAll().executeTakeFirstOrThrow();

describe('Secrets', () => {
  it('keeps a secret so that only the key gives it back', async () => {
    const secrets = secretsOf(randomBytes(32));
    expect([await secrets.get('hub'), await secrets.state('hub')]).toEqual([null, null]);
    await secrets.set('hub', TOKEN, ACTOR);
    expect(await secrets.get('hub')).toBe(TOKEN);
    const first = (await row()).sealed;
    await secrets.set('hub', TOKEN, ACTOR);
    // The same twice does not look the same.
    expect((await row()).sealed).not.toBe(first);
    await expect(secretsOf(randomBytes(32)).get('hub')).rejects.toMatchObject({ code: 'secret_unreadable' });
    await secrets.remove('hub', ACTOR);
    expect(await secrets.get('hub')).toBeNull();
  });

  it('writes it nowhere in clear, and every change of it into the audit log', async () => {
    const secrets = secretsOf(randomBytes(32));
    await secrets.set('hub', TOKEN, ACTOR);
    await secrets.remove('hub', ACTOR);
    await secrets.set('hub', TOKEN, ACTOR);
    const log = await database.selectFrom('audit').selectAll().execute();
    expect(log.map(({ action, subject }) => [action, subject])).toEqual([
      ['secret.set', 'hub'],
      ['secret.remove', 'hub'],
      ['secret.set', 'hub'],
    ]);
    expect(await verifyAudit(database)).toMatchObject({ brokenAt: null });
    for (const file of ['polylora.db', 'polylora.db-wal'])
      expect((await readFile(join(folder, file))).includes('canary')).toBe(false);
  });

  it('gives back nothing that was changed or put under another name', async () => {
    const secrets = secretsOf(randomBytes(32));
    await secrets.set('hub', TOKEN, ACTOR);
    const { sealed } = await row();
    const parts = sealed.split('.');
    const changed = parts.map((part, index) => {
      const bytes = Buffer.from(part, 'base64');
      bytes[0]! ^= 1;
      return parts.with(index, index === 0 ? 'v2' : bytes.toString('base64')).join('.');
    });
    const short = [...parts.slice(0, 2), parts[2]!.slice(0, 4), parts[3]].join('.');
    for (const other of [...changed, short, parts.slice(0, 3).join('.'), '', 'v1...']) {
      await database.updateTable('secret').set({ sealed: other }).execute();
      await expect(secrets.get('hub')).rejects.toMatchObject({ code: 'secret_unreadable' });
    }
    await database.insertInto('secret').values({ name: 'other', sealed, updated_at: 1 }).execute();
    await expect(secrets.get('other')).rejects.toMatchObject({ code: 'secret_unreadable' });
  });
});

describe('readSecretKey', () => {
  it('makes a key once, for its owner alone', async () => {
    const file = join(folder, 'home', 'secret.key');
    const keys = await Promise.all(Array.from({ length: 5 }, () => readSecretKey(file)));
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
    expect(keys[0]).toHaveLength(32);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readSecretKey(file)).toEqual(keys[0]);
  });

  it('refuses a key that others may read, and one that is none', async () => {
    const file = join(folder, 'secret.key');
    await readSecretKey(file);
    await chmod(file, 0o640);
    await expect(readSecretKey(file)).rejects.toMatchObject({ code: 'secret_key_invalid' });
    await chmod(file, 0o600);
    await writeFile(file, 'my password');
    await expect(readSecretKey(file)).rejects.toThrow(/holds no key/);
    await expect(readSecretKey(file)).rejects.not.toThrow(/my password/);
  });

  it('reads hexadecimal and base64', () => {
    const key = randomBytes(32);
    expect(parseSecretKey(key.toString('hex'))).toEqual(key);
    expect(parseSecretKey(`${key.toString('base64')}\n`)).toEqual(key);
    for (const text of ['', 'x', key.toString('hex').slice(1), randomBytes(16).toString('base64')])
      expect(parseSecretKey(text)).toBeNull();
  });
});
