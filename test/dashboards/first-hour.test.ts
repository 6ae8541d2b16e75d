/** An operator's first hour with the dashboard, in a real browser, on the real model. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, BROWSER_MISSING, isTooWide, launchBrowser } from '../support/browser.ts';
import { DEMO_ADAPTERS, type Gateway, START_MILLISECONDS, startGateway, until } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const TENANT = 'acme';
const ADAPTER = 'pirate';
const QUESTION = 'Where is my parcel?';
const PAGES = [
  '',
  'adapters',
  'pool',
  'tenants',
  'cache',
  'cache/entries',
  'cache/hits',
  'cache/explain',
  'cache/purge',
  'requests',
  'playground',
  'backends',
];

/** Whether something becomes so. */
async function settles(isSo: () => Promise<boolean>): Promise<boolean> {
  return until(isSo).then(
    () => true,
    () => false,
  );
}

if (BROWSER_MISSING !== null) console.warn(`the dashboard's first hour is skipped: it ${BROWSER_MISSING}`);

describe.skipIf(BROWSER_MISSING !== null)('an operator’s first hour', () => {
  let folder: string;
  let gateway: Gateway;
  let browser: Browser;
  let page: Page;
  /** What the browser complains about: scripts and styles that the policy forbids, exceptions, failed requests. */
  const complaints: string[] = [];
  let key = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-first-hour-'));
    [gateway, browser] = await Promise.all([
      startGateway({
        args: ['--cache', 'semantic', '--data-directory', folder],
        ...{ adapters: null, auth: 'keys', env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY } },
      }),
      launchBrowser(),
    ]);
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // Of answers there is more to tell below.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        complaints.push(message.text());
    });
    page.on('response', (response) => {
      const { pathname } = new URL(response.url());
      if (response.status() >= 400) complaints.push(`${response.status()} ${pathname}`);
    });
  }, START_MILLISECONDS);
  afterAll(async () => {
    await browser?.close();
    await gateway?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (path: string) => {
    await page.goto(`${gateway.url}/admin/${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
  };
  const button = (name: string | RegExp, within: Page | Locator = page) =>
    within.getByRole('button', { name, exact: typeof name === 'string' });
  const dialog = () => page.getByRole('dialog');
  const asked = (body: object, apiKey = key) =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ max_tokens: 12, messages: [{ role: 'user', content: QUESTION }], ...body }),
    });

  it('begins with signing in, which a wrong key does not', { timeout: 120_000 }, async () => {
    await page.goto(`${gateway.url}/admin`);
    const field = page.getByLabel('Operator or administrator key');
    await field.fill('plk_wrong');
    await button('Sign in').click();
    await page.getByRole('alert').waitFor();
    complaints.length = 0;
    await field.fill(OPERATOR_KEY);
    await button('Sign in').click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });

  it('makes a tenant, and a key that is shown once', { timeout: 120_000 }, async () => {
    await open('tenants');
    await button('Create a tenant').click();
    await dialog().getByLabel('Id', { exact: true }).fill(TENANT);
    await button('Create', dialog()).click();
    await page.getByRole('heading', { level: 1, name: TENANT }).waitFor();
    await button('Create a key').first().click();
    await dialog().getByLabel('Alias').fill('web shop');
    await button('Create the key', dialog()).click();
    key = (await dialog().locator('.secret code').textContent()) ?? '';
    expect(key).toMatch(/^plk_/);
    await button('I have stored it').click();
    expect(await page.getByText(key).count()).toBe(0);
    expect((await asked({ model: 'base' })).status).toBe(200);
  });

  it('uploads an adapter, and is told what is wrong with one', { timeout: 120_000 }, async () => {
    await open('adapters');
    await button('Upload an adapter').click();
    const files = page.locator('input[type=file]');
    const config = { name: 'adapter_config.json', mimeType: 'application/json' };
    await files.setInputFiles({ ...config, buffer: Buffer.from('{"peft_type":"LORA"}') });
    await files.setInputFiles(join(DEMO_ADAPTERS, 'pirate', 'adapter_model.safetensors'));
    await page.getByLabel('Name', { exact: true }).fill(ADAPTER);
    await button('Upload').click();
    await page.getByRole('alert').waitFor();
    await files.setInputFiles(join(DEMO_ADAPTERS, 'pirate', 'adapter_config.json'));
    await button('Upload').click();
    await page.getByText(`${ADAPTER} is there as`).first().waitFor();
    expect(complaints.splice(0)).toEqual([expect.stringMatching(/^400 .*\/complete$/)]);
  });

  it('compares it with the base model in the playground, both streaming', { timeout: 240_000 }, async () => {
    await open(`playground?adapter=${encodeURIComponent(ADAPTER)}`);
    await page.getByLabel('Prompt', { exact: true }).fill('My order arrived broken. What can I do?');
    await page.getByLabel('Most tokens').fill('40');
    await button('Ask 2 models').click();
    const answers = page.locator('section.answer');
    await expect.poll(() => answers.count()).toBe(2);
    await expect
      .poll(() => page.locator('section.answer .badge', { hasText: 'done' }).count(), { timeout: 120_000 })
      .toBe(2);
    const texts = await page.locator('section.answer .answer-text').allTextContents();
    expect(new Set(texts).size).toBe(2);
    for (const text of texts) expect(text.length).toBeGreaterThan(20);
    for (const rate of await page.locator('section.answer dd:nth-of-type(1)').allTextContents())
      expect(rate).toMatch(/\d/);
  });

  it('sees it in the heat map of the pool', { timeout: 120_000 }, async () => {
    await open('pool');
    await page
      .getByRole('rowheader', { name: new RegExp(ADAPTER) })
      .first()
      .waitFor();
    const map = page.getByRole('slider', { name: 'Pages of the pool' });
    await map.focus();
    const seen = new Set<string>();
    for (let i = 0; i < 400 && ![...seen].some((text) => text.includes(ADAPTER)); i++) {
      seen.add((await map.getAttribute('aria-valuetext')) ?? '');
      await map.press('ArrowRight');
    }
    expect([...seen].find((text) => text.includes(ADAPTER))).toMatch(/^Page \d+/);
  });

  it('creates a category of the cache, and takes an entry out', { timeout: 240_000 }, async () => {
    await open('cache');
    await button('Create a category').click();
    await dialog().getByLabel('Name').fill('orders');
    await button('Create the category', dialog()).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByText('orders', { exact: true }).first().waitFor();
    const cache = { category: 'orders' };
    const results = [];
    for (let i = 0; i < 2; i++) {
      const answer = await asked({ model: 'base', temperature: 0, cache });
      results.push(answer.headers.get('x-polylora-cache'));
      await answer.text();
    }
    expect(results[1]).toMatch(/^hit/);
    await open('cache/entries?category=orders');
    await page.getByRole('row').filter({ hasText: QUESTION }).waitFor();
    await open('cache/hits');
    await page.getByText('exact').first().waitFor();
    await open('cache/purge');
    await page.getByLabel('Category').fill('orders');
    await button('Count what matches').click();
    await page.getByText(/entries .* match/).waitFor();
    await button('Take them out …').click();
    await dialog().getByLabel(/Type/).fill('purge');
    await button('Take them out', dialog()).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const third = await asked({ model: 'base', temperature: 0, cache });
    expect(third.headers.get('x-polylora-cache')).toMatch(/^miss/);
  });

  it('revokes the key, and sees the request that is refused', { timeout: 120_000 }, async () => {
    await open('requests');
    await page.locator('li.request').first().waitFor();
    const limited = await asked({ model: 'no-such-model' });
    expect(limited.status).toBe(404);
    await page.getByText('model_not_found').first().waitFor();
    await open(`tenants/${TENANT}`);
    await button(/^Revoke/)
      .first()
      .click();
    await dialog().getByLabel(/Type/).fill('web shop');
    await button('Revoke the key', dialog()).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await until(async () => (await asked({ model: 'base' })).status === 401);
    await open('requests');
    const refused = page.locator('li.request').filter({ hasText: 'invalid_api_key' });
    await refused.first().waitFor();
    expect(await refused.first().textContent()).toContain('nobody who is known');
  });

  it('can do all of it without a mouse or good eyes, on any screen', { timeout: 400_000 }, async () => {
    const problems: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const path of [...PAGES, `tenants/${TENANT}`, `adapters/${encodeURIComponent(ADAPTER)}`]) {
        await open(path);
        for (const width of [1440, 360]) {
          await page.setViewportSize({ width, height: 900 });
          // What is drawn follows the window's size.
          if (!(await settles(async () => !(await isTooWide(page)))))
            problems.push(`${path} is wider than ${width} px`);
        }
        const found = await accessibilityProblems(page);
        problems.push(...found.map((problem) => `${colorScheme} /${path}: ${problem}`));
        await page.setViewportSize({ width: 1440, height: 900 });
      }
    }
    expect(problems).toEqual([]);
  });

  it('ends with signing out, and the browser had nothing to complain about', async () => {
    await button('Sign out').click();
    await page.getByLabel('Operator or administrator key').waitFor();
    expect(complaints).toEqual([]);
    expect(gateway.logs().join('\n')).not.toContain(key);
  });
});
