import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  AdapterDirectory,
  type BaseModelShape,
  isAdapterName,
  type LoraModule,
  readAdapter,
} from '../index.ts';

const EXAMPLES = fileURLToPath(new URL('../../../examples/adapters', import.meta.url));
const WIDTHS: Record<LoraModule, [input: number, output: number]> = {
  q_proj: [576, 576],
  k_proj: [576, 192],
  v_proj: [576, 192],
  o_proj: [576, 576],
  gate_proj: [576, 1536],
  up_proj: [576, 1536],
  down_proj: [1536, 576],
};
const smollm2: BaseModelShape = {
  layerCount: 30,
  projection: (module) => ({ in: WIDTHS[module][0], out: WIDTHS[module][1] }),
};

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'polylora-directory-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});
const copyExample = (example: string, to: string) => cpSync(join(EXAMPLES, example), to, { recursive: true });

async function scan(path: string, model: BaseModelShape) {
  const directory = new AdapterDirectory(path, model);
  const { adapters, problems } = await directory.scan();
  return { adapters: await Promise.all(adapters.map(({ name }) => directory.read(name))), problems };
}

test('the example adapters are all served', async () => {
  const { adapters, problems } = await scan(EXAMPLES, smollm2);
  expect(problems).toEqual([]);
  expect(
    adapters.map(({ name, modules }) => [
      name,
      modules[0]?.lowRank[0]?.rank,
      modules.length,
      modules[0]?.lowRank[0]?.scale,
    ]),
  ).toEqual([
    ['headline', 4, 60, 4],
    ['pirate', 8, 120, 2],
    ['support-triage', 8, 210, 2],
    ['text-to-sql', 16, 210, 2],
  ]);
  expect(new Set(adapters.map(({ digest }) => digest)).size).toBe(4);
});

test('the same adapter under another name has the same digest', async () => {
  copyExample('headline', join(root, 'one'));
  copyExample('headline', join(root, 'two'));
  const { adapters } = await scan(root, smollm2);
  expect(adapters.map(({ name }) => name)).toEqual(['one', 'two']);
  expect(adapters[0]?.digest).toBe(adapters[1]?.digest);
});

test('a directory that is an adapter itself gives one, by its name', async () => {
  const { adapters } = await scan(join(EXAMPLES, 'headline'), smollm2);
  expect(adapters).toEqual([await readAdapter(join(EXAMPLES, 'headline'), smollm2)]);
  expect(adapters[0]?.name).toBe('headline');
});

test('an adapter that is refused is reported and stops no other', async () => {
  copyExample('headline', join(root, 'good'));
  copyExample('headline', join(root, 'other-base'));
  mkdirSync(join(root, 'empty'));
  mkdirSync(join(root, '.cache'));
  writeFileSync(join(root, 'README.md'), 'no adapter');
  writeFileSync(
    join(root, 'other-base', 'adapter_config.json'),
    JSON.stringify({
      peft_type: 'LORA',
      r: 4,
      target_modules: ['q_proj', 'k_proj', 'v_proj'],
      lora_bias: true,
    }),
  );
  const { adapters, problems } = await scan(root, smollm2);
  expect(adapters.map(({ name }) => name)).toEqual(['good']);
  expect(problems).toMatchObject([
    { name: 'empty', code: 'adapter_config_missing' },
    { name: 'other-base', code: 'adapter_config_invalid', issues: [{ where: 'lora_bias' }] },
  ]);
});

test('an adapter for another base model is refused by its tensors', async () => {
  const smaller: BaseModelShape = { ...smollm2, layerCount: 29 };
  const { problems } = await scan(join(EXAMPLES, 'pirate'), smaller);
  expect(problems).toMatchObject([{ name: 'pirate', code: 'adapter_tensors_invalid' }]);
  expect(problems[0]?.issues).toHaveLength(8);
  expect(problems[0]?.message).toContain('model.layers.29.self_attn.q_proj.lora_A');
});

test('a directory that cannot be read is an error', async () => {
  await expect(scan(join(root, 'nowhere'), smollm2)).rejects.toMatchObject({
    code: 'adapter_unreadable',
  });
});

describe('scanning again', () => {
  const settled = { onlySettled: true };
  const names = async (directory: AdapterDirectory) =>
    Promise.all(
      (await directory.scan(settled)).adapters.map(
        async ({ name }) => `${name} ${(await directory.read(name)).modules.length}`,
      ),
    );

  test('finds what came, changed and went, once it is the same twice', async () => {
    copyExample('headline', join(root, 'a'));
    const directory = new AdapterDirectory(root, smollm2);
    const [first] = (await directory.scan()).adapters;
    copyExample('pirate', join(root, 'b'));
    expect(await names(directory)).toEqual(['a 60']);
    expect(await names(directory)).toEqual(['a 60', 'b 120']);
    copyExample('pirate', join(root, 'a'));
    // It is still known, and cannot be read until it is checked.
    expect((await directory.scan(settled)).adapters.map(({ name }) => name)).toEqual(['a', 'b']);
    await expect(directory.read('a')).rejects.toMatchObject({ code: 'adapter_unreadable' });
    expect(await names(directory)).toEqual(['a 120', 'b 120']);
    rmSync(join(root, 'b'), { recursive: true });
    const { adapters } = await directory.scan(settled);
    expect(adapters.map(({ name }) => name)).toEqual(['a']);
    expect(adapters[0]?.digest).not.toBe(first?.digest);
    // Unchanged, and so the same object: it was not read again.
    expect((await directory.scan(settled)).adapters[0]).toBe(adapters[0]);
  });

  test('waits for a copy that goes on, and tells a problem once it is over', async () => {
    const directory = new AdapterDirectory(root, smollm2);
    await directory.scan();
    copyExample('headline', join(root, 'copied'));
    const weights = join(root, 'copied', 'adapter_model.safetensors');
    const whole = readFileSync(weights);
    for (let bytes = 1000; bytes < 5000; bytes += 1000) {
      writeFileSync(weights, whole.subarray(0, bytes));
      expect(await directory.scan(settled)).toEqual({ adapters: [], problems: [] });
    }
    expect((await directory.scan(settled)).problems).toMatchObject([{ name: 'copied' }]);
    writeFileSync(weights, whole);
    await directory.scan(settled);
    expect(await directory.scan(settled)).toMatchObject({ adapters: [{ name: 'copied' }], problems: [] });
  });
});

describe('nothing outside the directory is touched', () => {
  test('links that lead out are refused, links inside are followed', async () => {
    const served = join(root, 'served');
    mkdirSync(served);
    copyExample('headline', join(root, 'secret'));
    copyExample('headline', join(served, 'real'));
    symlinkSync('../secret', join(served, 'folder-link'));
    symlinkSync(join(root, 'secret'), join(served, 'absolute-link'));
    symlinkSync('real', join(served, 'alias'));
    symlinkSync('missing', join(served, 'dangling'));
    symlinkSync('loop', join(served, 'loop'));
    mkdirSync(join(served, 'file-link'));
    for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
      symlinkSync(join('../../secret', file), join(served, 'file-link', file));
    }
    const { adapters, problems } = await scan(served, smollm2);
    expect(adapters.map(({ name }) => name)).toEqual(['alias', 'real']);
    expect(problems.map(({ name, code }) => [name, code])).toEqual([
      ['absolute-link', 'adapter_path_refused'],
      ['file-link', 'adapter_path_refused'],
      ['folder-link', 'adapter_path_refused'],
      ['loop', 'adapter_unreadable'],
    ]);
  });

  test('a named pipe in the place of a file does not block', async () => {
    mkdirSync(join(root, 'pipe'));
    execFileSync('mkfifo', [join(root, 'pipe', 'adapter_config.json')]);
    const { problems } = await scan(root, smollm2);
    expect(problems).toMatchObject([{ name: 'pipe', code: 'adapter_unreadable' }]);
  });

  test('folders whose names could mislead are refused', async () => {
    const names = ['%2e%2e', 'a b', 'a..b', '-rf', 'ä', 'x\ny', 'a'.repeat(129)];
    for (const name of names) copyExample('headline', join(root, name));
    const { adapters, problems } = await scan(root, smollm2);
    expect(adapters).toEqual([]);
    expect(problems.map(({ code }) => code)).toEqual(names.map(() => 'adapter_name_invalid'));
    for (const { message } of problems) expect(message).not.toContain('\n');
  });
});

test('names are plain', () => {
  for (const name of ['a', 'support-triage', 'Sql_v1.2', '7b', 'a'.repeat(128)])
    expect(isAdapterName(name)).toBe(true);
  for (const name of [
    '',
    '.',
    '..',
    '../a',
    'a/b/c',
    'a\\b',
    '.a',
    '_a',
    'a%2e',
    'a\0',
    'a\n',
    'a..b',
    'é',
  ]) {
    expect(isAdapterName(name)).toBe(false);
  }
});
