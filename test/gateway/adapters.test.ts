/** Adapters that come, change and go while the server runs. */
import { createHash } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import { DEMO_ADAPTERS, type Gateway, metric, START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const IN_FLIGHT = 200;

describe('the adapters store behind the gateway', () => {
  let gateway: Gateway;
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-adapters-'));
    await cp(join(DEMO_ADAPTERS, 'headline'), join(home, 'runtime', 'headline'), { recursive: true });
    await cp(DEMO_ADAPTERS, join(home, 'served'), { recursive: true });
    gateway = await startGateway({
      adapters: join(home, 'served'),
      args: ['--store', join(home, 'store'), '--runtime-lora-root', join(home, 'runtime')],
      env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY },
    });
  }, START_MILLISECONDS);
  afterAll(async () => {
    await gateway.stop();
    await rm(home, { recursive: true });
  });

  const admin = (method: string, path: string, body?: FormData | object, key = OPERATOR_KEY) =>
    fetch(`${gateway.url}/admin/v1/adapters${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
    });

  async function push(name: string, adapter: string, fields: Record<string, string> = {}): Promise<Response> {
    return admin('POST', '', await adapterForm(name, join(DEMO_ADAPTERS, adapter), fields));
  }

  const tenantOf = (key: string) => `key-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
  const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  const ask = (model: string, apiKey = 'key-a', content = 'What is the capital of France?') =>
    clientOf(apiKey).chat.completions.create({
      model,
      messages: [{ role: 'user', content }],
      max_tokens: 12,
      temperature: 0,
    });
  const textOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).choices[0]?.message.content;

  it('serves a pushed adapter to whom it was granted, and to nobody else, at once', async () => {
    const pushed = await push('acme/voice', 'pirate', { tags: 'stable', note: 'first' });
    expect(pushed.status).toBe(201);
    expect(await pushed.json()).toMatchObject({ name: 'acme/voice', release: 'v1', note: 'first' });
    const denied = { status: 404, code: 'model_not_found' };
    await expect(ask('acme/voice')).rejects.toMatchObject(denied);
    const name = encodeURIComponent('acme/voice');
    const grant = { tenant: tenantOf('key-a') };
    expect((await admin('PUT', `/${name}/grants`, grant)).status).toBe(200);
    expect(await textOf('acme/voice')).toBe(await textOf('pirate'));
    expect(await textOf('acme/voice@v1')).toBe(await textOf('acme/voice@stable'));
    await expect(ask('acme/voice', 'key-b')).rejects.toMatchObject(denied);
    const listed = async (key: string) => (await clientOf(key).models.list()).data.map(({ id }) => id);
    expect(await listed('key-a')).toContain('acme/voice');
    expect(await listed('key-b')).not.toContain('acme/voice');
    expect((await admin('DELETE', `/${name}/grants`, grant)).status).toBe(200);
    await expect(ask('acme/voice')).rejects.toMatchObject(denied);
  });

  it('exchanges an adapter under load: no error, and each answer is one version’s', async () => {
    await push('acme/swap', 'pirate');
    await admin('PUT', `/${encodeURIComponent('acme/swap')}/grants`, { tenant: '*' });
    const old = await ask('acme/swap');
    const prompts = Array.from({ length: IN_FLIGHT }, (_, index) => `Say ${index}.`);
    const during = prompts.map((prompt) => ask('acme/swap', 'key-a', prompt));
    expect((await push('acme/swap', 'headline')).status).toBe(201);
    const after = prompts.slice(0, 20).map((prompt) => ask('acme/swap', 'key-a', prompt));
    const [answers, later] = [await Promise.all(during), await Promise.all(after)];
    const fresh = await ask('acme/swap');
    expect(fresh.system_fingerprint).not.toBe(old.system_fingerprint);
    for (const { system_fingerprint } of later) expect(system_fingerprint).toBe(fresh.system_fingerprint);
    for (const [index, { choices, system_fingerprint }] of answers.entries()) {
      expect([old.system_fingerprint, fresh.system_fingerprint]).toContain(system_fingerprint);
      if (index % 10 > 0) continue;
      const model = system_fingerprint === old.system_fingerprint ? 'pirate' : 'headline';
      expect(choices[0]?.message.content).toBe(await textOf(model, 'key-a', prompts[index]));
    }
  }, 240_000);

  it('removes an adapter with all that was kept for it', async () => {
    await push('acme/gone', 'support-triage');
    const name = encodeURIComponent('acme/gone');
    await admin('PUT', `/${name}/grants`, { tenant: '*' });
    const long = 'The order has not come. '.repeat(20);
    const prefixPages = () => metric(gateway, 'polylora_pool_pages{kind="prefix"}');
    const without = await prefixPages();
    await ask('acme/gone', 'key-a', long);
    // The answer may be here before its pages are counted with the others.
    await expect.poll(prefixPages, { timeout: 20_000 }).toBeGreaterThan(without);
    const before = await prefixPages();
    const answer = await admin('DELETE', `/${name}`);
    expect(await answer.json()).toMatchObject({
      deleted: true,
      removed: [expect.stringMatching(/^[0-9a-f]{64}$/)],
    });
    await expect(ask('acme/gone')).rejects.toMatchObject({ status: 404 });
    expect((await admin('GET', `/${name}`)).status).toBe(404);
    await expect.poll(prefixPages, { timeout: 20_000 }).toBeLessThan(before);
  });

  it('answers who comes while an adapter is removed with what it found, or with what is not there', async () => {
    const name = encodeURIComponent('acme/going');
    for (let round = 0; round < 4; round++) {
      await push('acme/going', round % 2 === 0 ? 'support-triage' : 'text-to-sql');
      await admin('PUT', `/${name}/grants`, { tenant: '*' });
      // None of them is in the engine yet: some find the file gone as they read it.
      const asked = Array.from({ length: 16 }, async (_, index) => {
        await setTimeout(2 * index);
        const response = await fetch(`${gateway.url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'base',
            adapters: [{ name: 'acme/going', weight: 1 + index }],
            prompt: 'Hello',
            max_tokens: 2,
          }),
        });
        await response.body?.cancel();
        return response.status;
      });
      await setTimeout(10);
      await admin('DELETE', `/${name}`);
      for (const status of await Promise.all(asked)) expect([200, 404]).toContain(status);
    }
  });

  it('loads and unloads as vLLM does', async () => {
    const call = async (path: string, body: object) => {
      const response = await fetch(`${gateway.url}/v1/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return [response.status, await response.text()];
    };
    const load = { lora_name: 'news', lora_path: join(home, 'runtime', 'headline') };
    expect(await call('load_lora_adapter', load)).toEqual([
      200,
      "Success: LoRA adapter 'news' added successfully.",
    ]);
    expect(await textOf('news')).toBe(await textOf('headline'));
    const refusal = (message: string, type: string, code: number) => [
      code,
      JSON.stringify({ error: { message, type, param: null, code } }),
    ];
    expect(await call('load_lora_adapter', load)).toEqual(
      refusal(
        "The lora adapter 'news' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.",
        'InvalidUserInput',
        400,
      ),
    );
    expect((await call('load_lora_adapter', { ...load, load_inplace: true }))[0]).toBe(200);
    for (const path of [DEMO_ADAPTERS, '../store', join(home, 'runtime'), '/etc']) {
      expect(await call('load_lora_adapter', { lora_name: 'out', lora_path: path })).toEqual(
        refusal(`Loading lora out failed: No adapter found for ${path}`, 'NotFoundError', 404),
      );
    }
    const unload = { lora_name: 'news' };
    expect(await call('unload_lora_adapter', unload)).toEqual([
      200,
      "Success: LoRA adapter 'news' removed successfully.",
    ]);
    expect(await call('unload_lora_adapter', unload)).toEqual(
      refusal("The lora adapter 'news' cannot be found.", 'NotFoundError', 404),
    );
    await expect(ask('news')).rejects.toMatchObject({ status: 404 });
  });

  it('follows its directory: what comes, changes and goes', async () => {
    const served = join(home, 'served');
    const exists = (model: string) =>
      ask(model).then(
        () => true,
        () => false,
      );
    const wait = { timeout: 20_000 };
    await cp(join(DEMO_ADAPTERS, 'pirate'), join(served, 'newcomer'), { recursive: true });
    await expect.poll(() => exists('newcomer'), wait).toBe(true);
    expect(await textOf('newcomer')).toBe(await textOf('pirate'));
    await cp(join(DEMO_ADAPTERS, 'headline'), join(served, 'newcomer'), { recursive: true });
    const headline = await textOf('headline');
    await expect.poll(() => textOf('newcomer').catch(() => null), wait).toBe(headline);
    await rm(join(served, 'newcomer'), { recursive: true });
    await expect.poll(() => exists('newcomer'), wait).toBe(false);
    const told = () => gateway.logs().filter((line) => line.includes('"adapter":"newcomer"')).length;
    await expect.poll(told, wait).toBe(3);
  });

  it('takes an adapter by LoRAX’s names for it', async () => {
    const asked = async (fields: Record<string, unknown>) => {
      const response = await fetch(`${gateway.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Ahoy', max_tokens: 8, temperature: 0, ...fields }),
      });
      const { choices, error } = (await response.json()) as {
        choices?: { text: string }[];
        error?: { code: string; param: string };
      };
      return error ?? choices?.[0]?.text;
    };
    const text = await asked({ model: 'pirate' });
    expect(await asked({ model: 'base', adapter_id: 'pirate', adapter_source: 'local' })).toBe(text);
    expect(await asked({ adapter_id: 'pirate' })).toBe(text);
    expect(await asked({ adapter_id: 'x/y', adapter_source: 'hub' })).toMatchObject({
      code: 'unsupported_parameter',
      param: 'adapter_source',
    });
  });

  it('mixes adapters by weights', async () => {
    const asked = async (fields: Record<string, unknown>) => {
      const response = await fetch(`${gateway.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Ahoy', max_tokens: 8, temperature: 0, logprobs: 0, ...fields }),
      });
      const { choices, error, model } = (await response.json()) as {
        choices?: { text: string; logprobs: { token_logprobs: number[] } }[];
        model: string;
        error?: { code: string; param: string };
      };
      return error ?? { model, text: choices![0]!.text, logprobs: choices![0]!.logprobs.token_logprobs };
    };
    const pirate = await asked({ model: 'pirate' });
    const one = (name: string, weight: number) => ({ name, weight });
    // What counts nothing changes no bit.
    const alone = await asked({ model: 'base', adapters: [one('pirate', 1), one('headline', 0)] });
    expect(alone).toEqual({ ...pirate, model: '1*pirate+0*headline' });
    expect(await asked({ adapters: [{ name: 'pirate' }] })).toEqual(pirate);
    const both = await asked({ adapters: [one('pirate', 0.5), one('headline', 0.5)] });
    expect(both).not.toMatchObject({ logprobs: (pirate as { logprobs: number[] }).logprobs });
    const turned = await asked({ adapters: [one('headline', 0.5), one('pirate', 0.5)] });
    expect(turned).toEqual({ ...both, model: '0.5*headline+0.5*pirate' });
    const base = await asked({ model: 'base' });
    const none = await asked({ adapters: [one('pirate', 0), one('headline', 0)] });
    expect(none).toMatchObject({ logprobs: (base as { logprobs: number[] }).logprobs });

    const wrong: [Record<string, unknown>, string, string | null][] = [
      [{ adapters: [] }, 'empty_array', 'adapters'],
      [{ adapters: 'pirate' }, 'invalid_type', 'adapters'],
      [{ adapters: [{ weight: 1 }] }, 'missing_required_parameter', 'adapters[0].name'],
      [{ adapters: [one('pirate', 1e9)] }, 'decimal_above_max_value', 'adapters[0].weight'],
      [{ adapters: [{ ...one('pirate', 1), rank: 2 }] }, 'unsupported_parameter', 'adapters[0].rank'],
      [{ adapters: Array(9).fill(one('pirate', 1)) }, 'invalid_value', 'adapters'],
      [{ adapters: [one('pirate', 1), one('nobody', 1)] }, 'model_not_found', null],
      // Nobody is looked for who is one too many.
      [{ adapters: Array(9).fill(one('nobody', 1)) }, 'invalid_value', 'adapters'],
      [{ lora: Array(256).fill({ id: 1, scale: 1 }) }, 'invalid_value', 'lora'],
      [{ adapters: [one('base', 1)] }, 'invalid_value', 'adapters'],
      [{ model: 'pirate', adapters: [one('headline', 1)] }, 'invalid_value', 'model'],
      [{ adapter_id: 'pirate', adapters: [one('headline', 1)] }, 'invalid_value', 'adapter_id'],
      [{ lora: [{ id: 1, scale: 1 }], adapters: [one('headline', 1)] }, 'invalid_value', 'lora'],
    ];
    for (const [fields, code, param] of wrong) expect(await asked(fields)).toMatchObject({ code, param });
  });

  it('lets nobody but the operator administer', async () => {
    for (const path of ['', '/acme%2Fvoice', '/nothing', '/x/tags/y']) {
      const answers = await Promise.all(
        ['GET', 'POST', 'PUT', 'DELETE'].map((method) => admin(method, path, undefined, 'wrong-key')),
      );
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401]);
    }
    for (const path of [
      '//admin/v1/adapters',
      '/admin%2Fv1/adapters',
      '/Admin/v1/adapters',
      '/v1/../admin/v1/adapters',
    ]) {
      const { status } = await fetch(`${gateway.url}${path}`);
      expect([401, 404]).toContain(status);
    }
    expect(gateway.logs().join('\n')).not.toContain(OPERATOR_KEY);
  });

  it('says what is wrong with an upload', async () => {
    const form = new FormData();
    form.set('name', 'acme/broken');
    form.set('config', new Blob(['{"peft_type": "PROMPT_TUNING"}']), 'adapter_config.json');
    form.set('weights', new Blob(['x']), 'adapter_model.safetensors');
    const answer = await admin('POST', '', form);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      error: { code: 'adapter_invalid', message: expect.stringContaining('peft_type') },
    });
    const bad = await push('acme/../x', 'pirate');
    expect(await bad.json()).toMatchObject({ error: { code: 'adapter_field_invalid', param: 'name' } });
  });
});
