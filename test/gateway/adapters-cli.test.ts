/** `polylora adapters` as an operator runs it, beside a running server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_ADAPTERS, type Gateway, launch, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const DIGEST = /[0-9a-f]{64}/;

describe('polylora adapters', () => {
  let gateway: Gateway;
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-adapters-cli-'));
    gateway = await startGateway({
      args: ['--store', join(home, 'store')],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
  }, START_MILLISECONDS);
  afterAll(async () => {
    await gateway.stop();
    await rm(home, { recursive: true });
  });

  async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const surroundings = { POLYLORA_URL: gateway.url, POLYLORA_OPERATOR_KEY: OPERATOR_KEY, ...env };
    const { exited, output } = launch(['adapters', ...args], surroundings);
    return { status: await exited, ...output };
  }

  /** What it prints where all is well. */
  async function done(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await run(args);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  }

  const demo = (name: string) => join(DEMO_ADAPTERS, name);
  const answer = async (model: string) => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'key-a', maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
    const completion = await client.chat.completions.create({
      model,
      messages,
      max_tokens: 12,
      temperature: 0,
    });
    return completion.choices[0]?.message.content;
  };

  it('takes an adapter from a folder to an answer, through its versions, and away', async () => {
    expect(await done('ls')).toContain('no adapters in the store yet');

    const first = await run([
      'push',
      demo('pirate'),
      '--name',
      'acme/voice',
      '--tag',
      'stable',
      '--note',
      'a \u001b[2Jb',
    ]);
    expect(first).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^release +acme\/voice@v1\ndigest +[0-9a-f]{64}\n/),
    });
    expect(first.stderr).toMatch(/^Sending 1\.9 MB\.\nAll sent\. .*\n.*polylora adapters grant acme\/voice/);
    const [digest = ''] = DIGEST.exec(first.stdout) ?? [];

    const denied = { status: 404, code: 'model_not_found' };
    await expect(answer('acme/voice')).rejects.toMatchObject(denied);
    expect(await done('grant', 'acme/voice', '--tenant', '*')).toBe('everybody may use acme/voice now.\n');
    expect(await answer('acme/voice@stable')).toBe(await answer('pirate'));

    const second = [
      'push',
      demo('headline'),
      '--name',
      'acme/voice',
      '--parent',
      `sha256:${digest}`,
      '--json',
    ];
    expect(JSON.parse(await done(...second))).toMatchObject({
      release: 'v2',
      parent: digest,
      ranks: { q_proj: 4 },
    });
    expect(await answer('acme/voice')).toBe(await answer('headline'));
    await done('push', demo('text-to-sql'), '--name', 'sql');

    const listed = await done('ls');
    expect(listed.split('\n').map((line) => line.split(/ {2,}/)[0])).toEqual([
      'NAME',
      'acme/voice',
      'sql',
      '',
    ]);
    expect(JSON.parse(await done('ls', '--json')).data).toMatchObject([
      { name: 'acme/voice' },
      { name: 'sql' },
    ]);

    expect(await done('tag', 'acme/voice', 'eu', 'v1')).toBe('acme/voice@eu is acme/voice@v1 now.\n');
    expect(await done('untag', 'acme/voice', 'stable')).toContain('is gone');
    expect(await done('pin', 'acme/voice', 'v1')).toContain(`${digest} is kept`);
    await done('grant', 'acme/voice', '--key', 'k1');
    const shown = await done('show', 'acme/voice');
    expect(shown).toMatch(/^grants +(everybody, key k1|key k1, everybody)$/m);
    expect(shown).toMatch(/^v2 +latest +476\.2 kB .* 4 \(q_proj, v_proj\)/m);
    expect(shown).toMatch(new RegExp(`^v1 +eu +1\\.9 MB .* yes +${digest} +a \\\\u001b\\[2Jb$`, 'm'));
    expect(await done('unpin', 'acme/voice', digest.slice(0, 12))).toContain('may be collected');
    expect(JSON.parse(await done('show', 'acme/voice', '--json')).releases[1]).toMatchObject({
      digest,
      pinned: false,
    });

    const diff = await done('diff', 'acme/voice', 'eu', 'v2');
    expect(diff).toMatch(/^rank of k_proj +8 +-$/m);
    expect(diff).toMatch(/^source +upload +\(the same\)$/m);
    expect(diff).toMatch(/^Different: digest, size, kind, rank of q_proj, .*, parent, note\.$/m);
    expect(await done('diff', 'acme/voice', 'v1', 'eu')).toContain('v1 and eu are the same version.');

    expect(await done('revoke', 'acme/voice', '--tenant', '*')).toContain('everybody has no grant');
    await expect(answer('acme/voice')).rejects.toMatchObject(denied);
    expect(await run(['rm', 'acme/voice'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('say --yes'),
    });
    expect(await done('rm', 'acme/voice', '--yes')).toBe(
      'Removed acme/voice, and 2 versions that no other name has.\n',
    );
    expect(await done('ls')).not.toContain('acme/voice');
  });

  it('ends with status 1 where the server refuses, and says why', async () => {
    const refused = async (args: string[], env?: Record<string, string>) => {
      const { status, stdout, stderr } = await run(args, env);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      return stderr;
    };
    expect(await refused(['show', 'nobody/none'])).toBe(
      "there is no adapter 'nobody/none' (adapter_not_found)\n",
    );
    expect(await refused(['push', demo('pirate'), '--name', 'a/../b'])).toContain(
      '(adapter_field_invalid)\n',
    );
    expect(await refused(['push', home, '--name', 'x'])).toContain('adapter_config.json cannot be read');
    // Refused before anything is sent.
    expect(await refused(['push', demo('pirate'), '--name', 'x'], { POLYLORA_OPERATOR_KEY: 'wrong' })).toBe(
      'This needs the operator key, as a bearer token. (invalid_api_key)\n',
    );
    expect(await refused(['ls'], { POLYLORA_URL: 'http://127.0.0.1:1' })).toMatch(
      /^No server answers at .*npm start/s,
    );
  });

  it('ends with status 2 where the command line is wrong', async () => {
    const wrong = async (args: string[], env?: Record<string, string>) => {
      const { status, stdout, stderr } = await run(args, env);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      return stderr;
    };
    expect(await wrong(['frob'])).toContain("There is no command 'frob'. Try: polylora adapters --help.");
    expect(await wrong(['push', demo('pirate')])).toContain('--name acme/support');
    expect(await wrong(['grant', 'x', '--tenant', 'a', '--key', 'b'])).toContain('either --tenant or --key');
    expect(await wrong(['untag', 'x', '..'])).toContain("'..' is not a name");
    expect(await wrong(['ls'], { POLYLORA_OPERATOR_KEY: '' })).toContain('Set POLYLORA_OPERATOR_KEY');
    expect(await wrong(['ls', '--url', 'nowhere'])).toContain("'nowhere' is not the address of a server");
  });

  it('explains itself', async () => {
    expect(await done('--help')).toContain('push <dir>');
    expect(await done('push', '--help')).toContain('--parent <digest>');
    const { exited, output } = launch(['--help']);
    expect(await exited).toBe(0);
    expect(output.stdout).toContain('polylora adapters <command>');
  });
});
