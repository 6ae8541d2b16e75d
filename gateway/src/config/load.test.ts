import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { helpText } from './help.ts';
import { ConfigError, type Environment, loadConfig, unknownVariables } from './load.ts';
import { ALL_OPTIONS, CONFIG_OPTIONS, RULES } from './schema.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'polylora-config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function problems(flags: readonly string[], env: Environment = {}): readonly string[] {
  try {
    loadConfig(flags, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('has defaults for everything, and a home from the platform', () => {
    const config = loadConfig([], { XDG_CACHE_HOME: '/var/cache/u' });
    expect(config).toMatchObject({
      model: 'SmolLM2-135M-Instruct',
      host: '127.0.0.1',
      port: 8080,
      threads: null,
    });
    if (process.platform === 'linux') expect(config.home).toBe('/var/cache/u/polylora');
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('takes flags before the environment before the file', () => {
    const path = file('a.yaml', 'port: 1\nmaxRunning: 1\nmaxQueued: 1\ndrainSeconds: 0.5\n');
    const config = loadConfig(['--port', '3', `--config=${path}`], {
      POLYLORA_PORT: '2',
      POLYLORA_MAX_RUNNING: '2',
    });
    expect(config).toMatchObject({ port: 3, maxRunning: 2, maxQueued: 1, drainSeconds: 0.5 });
  });

  it('finds the file through POLYLORA_CONFIG, JSON too', () => {
    const path = file('b.json', '{"model": "tiny.gguf", "adapters": null}');
    expect(loadConfig([], { POLYLORA_CONFIG: path })).toMatchObject({ model: 'tiny.gguf', adapters: null });
  });

  it('treats empty variables and an empty file as unset', () => {
    const path = file('empty.yaml', '');
    expect(loadConfig(['--config', path], { POLYLORA_PORT: '' }).port).toBe(8080);
  });

  it("takes the hub's token from HF_TOKEN too, and never shows it", () => {
    expect(loadConfig([], {}).hubToken).toBeNull();
    expect(loadConfig([], { HF_TOKEN: 'hf_a' }).hubToken).toBe('hf_a');
    expect(loadConfig([], { HF_TOKEN: 'hf_a', POLYLORA_HUB_TOKEN: 'hf_b' }).hubToken).toBe('hf_b');
    expect(loadConfig([], { HF_TOKEN: 'of another kind' }).hubToken).toBeNull();
    expect(problems([], { POLYLORA_HUB_TOKEN: 'my-secret' }).join()).not.toContain('my-secret');
    expect(problems(['--config', file('token.yaml', 'hubToken: 12345')]).join()).not.toContain('12345');
  });

  it('keeps text options that look like numbers', () => {
    expect(loadConfig(['--served-model-name', '7'], {}).servedModelName).toBe('7');
  });

  it('lists every problem at once with where it came from', () => {
    const path = file('bad.yaml', 'weights: int4\nprot: 80\n');
    const found = problems(['--port', 'abc', '--frobnicate', '--threads', 'stray', 'x', '--config', path], {
      POLYLORA_MAX_RUNNING: '0',
    });
    const expected = [
      /^--frobnicate: unknown option/,
      /^argument 6: not an option/,
      /^port \(from --port\): .*number.*got "abc"$/,
      /^weights \(from config file .*bad\.yaml\): .*got "int4"$/,
      /^threads \(from --threads\): .*got "stray"$/,
      /^maxRunning \(from POLYLORA_MAX_RUNNING\): .*got 0$/,
      /^prot \(from config file .*bad\.yaml\): unknown option; did you mean port\?$/,
    ];
    expect(found).toHaveLength(expected.length);
    for (const line of expected) expect(found).toContainEqual(expect.stringMatching(line));
  });

  it.each([
    ['a.yaml', 'port: 80\noperatorKey: "my-secret\nupstreamKey: x\n', /YAML at line \d+, column \d+ \(/],
    ['b.yaml', 'operatorKey: my-secret\n  upstreamKey: other\n', /YAML at line 1, column 14 \(/],
    ['c.yaml', 'operatorKey: *my-secret\n', /YAML/],
    ['d.yaml', 'operatorKey: [my-secret\nport: 80\n', /YAML at line/],
    ['e.yaml', 'operatorKey: !my-secret x\n my-secret: - y\n', /YAML at line/],
    ['f.json', '{\n "operatorKey": my-secret }', /JSON/],
    ['g.json', '{ "port": 80, "operatorKey": "my-secret" x }', /JSON/],
    ['h.yaml', 'database: {my-secret: 1}\n', /^database/],
    ['i.yaml', 'upstream: user:my-secret@host\n', /^upstream/],
  ])('does not repeat what may be a secret of a file that is not valid: %s', (name, content, expected) => {
    const [first = '', ...more] = problems(['--config', file(name, content)]);
    expect(first).toMatch(expected);
    expect([first, ...more].join()).not.toContain('my-secret');
  });

  const rules: readonly (readonly [string, Record<string, string>])[] = [
    ['adapters', { upstream: 'http://u:canary-9@127.0.0.1:1', adapters: 'examples/adapters' }],
    ['hubUrl', { hubUrl: 'https://u:canary-10@hub.internal' }],
    ['cache', { cache: 'semantic', embeddingModel: 'none' }],
  ];
  it('has a case below for each rule that options keep together', () => {
    expect(rules.map(([key]) => key)).toEqual(RULES.map(({ key }) => key));
  });

  /** A valid secret in every option that may hold one. */
  const secrets: Record<string, string> = {
    upstream: 'http://u:canary-1@127.0.0.1:1',
    upstreamKey: 'canary-2',
    database: 'postgres://u:canary-3@h/db',
    cacheStore: 'redis://:canary-7@h:6379',
    operatorKey: 'canary-4-canary-4-canary-4',
    redis: 'redis://:canary-5@h:6379',
    hubToken: 'hf_canary-6',
    secretKey: 'ca'.repeat(32),
    tracesEndpoint: 'http://u:canary-11@127.0.0.1:4318',
    tracesHeaders: 'authorization=canary-12',
    otlpMetricsEndpoint: 'http://u:canary-13@127.0.0.1:4318',
    otlpMetricsHeaders: 'authorization=canary-14',
  };
  const leaks = (found: readonly string[]) => found.filter((line) => /canary|(ca){8}/.test(line));

  it('repeats no secret where options do not go together, nor where any one is wrong', () => {
    expect(Object.keys(secrets).sort()).toEqual(
      ALL_OPTIONS.filter(({ isSecret }) => isSecret)
        .map(({ key }) => key)
        .sort(),
    );
    for (const [key, values] of rules) {
      const found = problems(['--config', file('rule.json', JSON.stringify({ ...secrets, ...values }))]);
      expect(found.join(), key).toContain(`${key} (from`);
      expect(leaks(found), key).toEqual([]);
    }
    const wrong = [
      'mysql://u:canary-7@h/db',
      'canary-8 u:canary@host',
      'https://u:canary@hub/',
      'plk_canary',
      { operatorKey: 'canary-9' },
      ['canary-10'],
      { base: { input: 'https://u:canary@hub/', output: 1 } },
      { base: { input: { a: 'canary' }, output: 1 } },
      Object.keys(secrets).map((key) => secrets[key]),
    ];
    for (const { key } of ALL_OPTIONS) {
      for (const value of wrong) {
        const { upstream: _, ...others } = secrets;
        const path = file('wrong.json', JSON.stringify({ ...others, [key]: value }));
        for (const args of [
          [],
          ['--port', '80', '--database', 'x.db', '--operator-key', 'another-key-of-mine'],
        ]) {
          const found = problems(['--config', path, ...args]);
          expect(leaks(found), `${key}: ${JSON.stringify(value)}`).toEqual([]);
        }
      }
    }
    for (const { key, flag, env } of CONFIG_OPTIONS)
      for (const value of wrong.filter((each) => typeof each === 'string')) {
        expect(leaks(problems([flag, value])), flag).toEqual([]);
        expect(leaks(problems([`${flag}x`, value])), flag).toEqual([]);
        expect(leaks(problems([], { [env]: value })), env).toEqual([]);
        expect(
          leaks(problems(['--config', file('name.json', JSON.stringify({ [`${key}=${value}`]: 1 }))])),
        ).toEqual([]);
      }
  });

  it.each([
    'mysql://u:canary@h/db',
    'MySQL:u:canary@h/db',
    ' mysql://u:canary@h/db',
    'postgres:/u:canary@h/db',
    'file:canary.db',
    'https://u:canary@h',
  ])('takes no URL of another database for a file, and does not repeat it: %s', (value) => {
    const found = problems(['--database', value]);
    expect(found).toEqual([
      expect.stringMatching(/^database \(from --database\): Expected a file.*postgres:/),
    ]);
    expect(leaks(found)).toEqual([]);
  });

  it.each([
    'polylora.db',
    './a:b.db',
    '/var/x/p.db',
    'C:\\data\\p.db',
    'postgres://u@h/d',
    'postgresql://h/d',
  ])('takes a database: %s', (value) => expect(problems(['--database', value])).toEqual([]));

  it.each([
    ['--upstream', 'localhost:8000', 'http://localhost:8000'],
    ['--redis', 'foo', 'redis://localhost:6379'],
    ['--redis', 'http://localhost', 'redis://localhost:6379'],
    ['--s3-endpoint', 'localhost:9000', 'http://localhost:9000'],
    ['--hub-url', 'hub.internal', 'https://hub.example'],
  ])('says how a URL is written: %s %s', (flag, value, example) => {
    expect(problems([flag, value])).toEqual([expect.stringContaining(`Expected a URL, such as ${example}`)]);
  });

  it('takes a hub only where imports may connect to it', () => {
    const hub = ['--hub-url', 'https://hub.corp.internal'];
    expect(problems(hub)).toEqual([
      expect.stringMatching(/^hubUrl \(from --hub-url\): .*importHosts must have/),
    ]);
    expect(problems([...hub, '--import-hosts', 'https://hub.corp.internal'])).toEqual([]);
    expect(problems([...hub, '--import-hosts', '*.corp.internal,cdn.example'])).toEqual([]);
    expect(
      problems(['--hub-url', 'http://hub.corp.internal', '--import-hosts', '*.corp.internal']),
    ).toHaveLength(1);
    expect(problems(['--import-hosts', 'https://hub.corp.internal'])).toEqual([]);
    expect(problems([...hub, '--import-hosts', '::::'])).toHaveLength(1);
  });

  it.each([
    ['max-queued', 'maxQueued'],
    ['max_queued', 'maxQueued'],
    ['maxqueued', 'maxQueued'],
    ['MAX_QUEUED', 'maxQueued'],
    ['maxQeued', 'maxQueued'],
    ['max-runing', 'maxRunning'],
    ['operator_key', 'operatorKey'],
    ['prot', 'port'],
  ])('says which option %s probably is', (key, meant) => {
    const found = problems(['--config', file('near.yaml', `${key}: 1\n`)]);
    expect(found).toEqual([expect.stringContaining(`${key} (from`)]);
    expect(found[0]).toMatch(new RegExp(`: unknown option; did you mean ${meant}\\?$`));
  });

  it('says nothing of names that are like none, and where else things are', () => {
    expect(problems(['--config', file('far.yaml', 'frobnicate: 1\n')])[0]).toMatch(/: unknown option$/);
    expect(problems(['--config', file('t.yaml', 'tenants: []\n')])[0]).toContain('polylora tenants create');
    expect(problems(['--config', file('k.yaml', 'keys: {a: plk_x}\n')])[0]).toContain('polylora keys create');
    expect(problems(['--max-runing', '3'])[0]).toContain(
      '--max-runing: unknown option; did you mean --max-running?',
    );
    expect(problems(['--prices={}'])[0]).toContain('it is set in the config file');
    const price = 'prices: {base: {input: 1, output: 1, cached_input: 1}}\n';
    expect(problems(['--config', file('p.yaml', price)])[0]).toMatch(
      /cached_input .*did you mean cachedInput\?$/,
    );
  });

  it('names variables that are none, with the nearest and without their values', () => {
    const env = {
      POLYLORA_MAX_QUEUE: 'canary',
      POLYLORA_OPERATORKEY: 'canary',
      POLYLORA_FROB: 'canary',
      POLYLORA_EMPTY: '',
      POLYLORA_SERVICE_HOST: '10.0.0.1',
      POLYLORA_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      POLYLORA_TEST_CLOCK: '1',
      POLYLORA_CONFIG: '/x',
      POLYLORA_URL: 'http://x',
      PATH: 'canary',
    };
    const known = Object.fromEntries(CONFIG_OPTIONS.map((option) => [option.env, 'x']));
    expect(unknownVariables({ ...env, ...known })).toEqual([
      expect.stringMatching(/POLYLORA_MAX_QUEUE is none of this server; did you mean POLYLORA_MAX_QUEUED\?$/),
      expect.stringMatching(/POLYLORA_OPERATORKEY .*; did you mean POLYLORA_OPERATOR_KEY\?$/),
      expect.stringMatching(/POLYLORA_FROB is none of this server$/),
    ]);
  });

  it('repeats no argument that is no option, but for an option that lacks its hyphens', () => {
    expect(problems(['--operator-keey', 'canary', 'port'])).toEqual([
      expect.stringMatching(/^--operator-keey: unknown option/),
      expect.stringMatching(/^argument 2: not an option/),
      expect.stringMatching(/^port: not an option; options start with --/),
    ]);
  });

  it('takes for the category of a model only one that there is, built in or in the file', () => {
    const known = 'cacheCategories: {orders: {ttlSeconds: 60}}\n';
    const models = (category: string) => `cacheModelCategories: {acme/sql: ${category}}\n`;
    for (const category of ['code', 'orders']) {
      expect(problems(['--config', file('known.yaml', known + models(category))])).toEqual([]);
    }
    expect(problems(['--config', file('unknown.yaml', known + models('ordres'))])).toEqual([
      expect.stringMatching(
        /^cacheModelCategories\.acme\/sql \(from config file .*\): There is no such category: expected general, .*, orders, or/,
      ),
    ]);
    expect(problems(['--config', file('removed.yaml', models('orders'))])).toHaveLength(1);
  });

  it('takes prices from the file, and names the field of one that is wrong', () => {
    expect(loadConfig([], {}).prices).toEqual({});
    const path = file(
      'prices.yaml',
      'prices:\n  base: {input: 0.1, output: 0.4}\n  "acme/*": {input: 1, cachedInput: 0, output: 2}\n',
    );
    expect(loadConfig(['--config', path], {}).prices).toEqual({
      base: { input: 0.1, output: 0.4 },
      'acme/*': { input: 1, cachedInput: 0, output: 2 },
    });
    const wrong = [
      'prices:',
      '  base: {input: -1, output: 1}',
      '  acme/sql: {inptu: 1, input: 1, output: 1}',
      '  acme/old: {input: 1}',
      '  acme/new: 3',
    ];
    expect(problems(['--config', file('wrong.yaml', wrong.join('\n'))])).toEqual([
      expect.stringMatching(/^prices\.base\.input \(from config file .*wrong\.yaml\): .*got -1$/),
      expect.stringMatching(/^prices\.acme\/sql\.inptu \(from .*\): unknown option; did you mean input\?$/),
      expect.stringMatching(/^prices\.acme\/old\.output \(from .*\): /),
      expect.stringMatching(/^prices\.acme\/new \(from .*\): .*got 3$/),
    ]);
    // It is no option of the command: a table has no place in a flag.
    expect(problems(['--prices={}'])).toEqual([expect.stringMatching(/^--prices: unknown option/)]);
  });

  it('says what is wrong in the file also of what a flag or a variable comes before', () => {
    const path = file('masked.yaml', 'port: many\nmaxRunning: 0\nweights: f32\noperatorKey: my-secret\n');
    const env = { POLYLORA_MAX_RUNNING: '2', POLYLORA_OPERATOR_KEY: 'another-key-of-mine' };
    const found = problems(['--port', '3', '--weights', 'int8', '--config', path], env);
    expect(found).toEqual([
      expect.stringMatching(/^port \(from config file .*masked\.yaml\): .*got "many"$/),
      expect.stringMatching(/^maxRunning \(from config file .*masked\.yaml\): .*got 0$/),
      expect.stringMatching(/^operatorKey \(from config file .*masked\.yaml\): Too short/),
    ]);
    expect(found.join()).not.toContain('my-secret');
  });

  it('says when the file is missing, malformed or not a mapping', () => {
    expect(problems(['--config', join(folder, 'none.yaml')])[0]).toMatch(/none\.yaml: ENOENT/);
    expect(problems(['--config', file('c.json', '{')])[0]).toMatch(/c\.json: .*JSON/);
    expect(problems(['--config', file('d.yaml', '- 1')])[0]).toMatch(/expected a mapping/);
    expect(problems(['--port'])).toEqual(['--port: needs a value']);
  });
});

describe('helpText', () => {
  it('names every option with its flag and variable', () => {
    const help = helpText();
    for (const { flag, env } of CONFIG_OPTIONS) {
      expect(help).toContain(`${flag} <`);
      expect(help).toContain(`(${env}`);
    }
    for (const { description } of ALL_OPTIONS) expect(help).toContain(description);
    expect(help).toContain('--weights <int8|f32>');
    expect(help).toContain('--port <number>');
    expect(help).toContain('[8080]');
    expect(help).toContain('--pool-megabytes <number>');
  });
});
