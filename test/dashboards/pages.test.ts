/** What the dashboard's pages do where something goes otherwise than at first: in a real browser, on the real model. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { adapterForm } from '../support/adapter-form.ts';
import { accessibilityProblems, BROWSER_MISSING, isTooWide, launchBrowser } from '../support/browser.ts';
import {
  administer,
  DEMO_ADAPTERS,
  type Gateway,
  START_MILLISECONDS,
  startGateway,
  until,
} from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const TENANT = 'acme';
const ADAPTER = 'support';
const THEIRS = `${TENANT}/own`;
/** More than a page of a list has. */
const KEYS = 55;
/** The name of the key that a list begins with. */
const NEWEST = `key ${KEYS - 1}`;
const QUESTIONS = ['Where is my parcel?', 'How do I pay an invoice?', 'Where is the nearest shop?'];

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they are
type Json = any;

if (BROWSER_MISSING !== null) console.warn(`the dashboard's pages are not tried: that ${BROWSER_MISSING}`);

describe.skipIf(BROWSER_MISSING !== null)('the pages', { timeout: 120_000 }, () => {
  let folder: string;
  let gateway: Gateway;
  let browser: Browser;
  let page: Page;
  const exceptions: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-pages-'));
    [gateway, browser] = await Promise.all([
      startGateway({
        args: ['--cache', 'exact', '--embedding-model', 'none', '--data-directory', folder],
        ...{ adapters: null, auth: 'keys', env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY } },
      }),
      launchBrowser(),
    ]);
    await administer(gateway, 'tenants', { id: TENANT });
    const aliases = Array.from({ length: KEYS }, (_, index) => `key ${index}`);
    for (const alias of aliases) await administer(gateway, 'keys', { tenant: TENANT, alias });
    await push(ADAPTER, 'pirate');
    await push(ADAPTER, 'headline');
    await push(THEIRS, 'pirate', `?tenant=${TENANT}`);
    for (const content of QUESTIONS) await chat(content);
    await until(async () => (await ask('GET', 'cache/entries')).data.length === QUESTIONS.length);
  }, START_MILLISECONDS);
  afterAll(async () => {
    await browser?.close();
    await gateway?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  // What one has done to its page is not the next one's.
  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.on('pageerror', (error) => exceptions.push(String(error)));
    await page.goto(`${gateway.url}/admin`);
    await signIn();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });
  afterEach(async () => {
    await page.context().close();
    expect(exceptions.splice(0)).toEqual([]);
  });

  const ask = async (method: string, path: string, body?: FormData | object): Promise<Json> => {
    const isForm = body instanceof FormData;
    const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const push = async (name: string, adapter: string, query = '') => {
    await ask('POST', `adapters${query}`, await adapterForm(name, join(DEMO_ADAPTERS, adapter)));
  };
  const chat = async (content: string) => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ model: 'base', temperature: 0, max_tokens: 4, cache: { tags: ['docs'] } },
        messages: [{ role: 'user', content }],
      }),
    });
    if (!response.ok) throw new Error(await response.text());
    await response.arrayBuffer();
  };
  const open = async (path: string) => {
    await page.goto(`${gateway.url}/admin/${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
  };
  const signIn = async (within: Page | Locator = page) => {
    await within.getByLabel('Operator or administrator key').fill(OPERATOR_KEY);
    await button('Sign in', within).click();
  };
  const button = (name: string | RegExp, within: Page | Locator = page) =>
    within.getByRole('button', { name, exact: typeof name === 'string' });
  const dialog = () => page.getByRole('dialog');
  const gone = () => dialog().waitFor({ state: 'detached' });
  /** Confirms what a dialog asks. */
  const confirm = async (name: string) => {
    await button(name, dialog()).click();
    await gone();
  };
  const looksRight = async () => {
    expect(await accessibilityProblems(page)).toEqual([]);
    await page.setViewportSize({ width: 360, height: 900 });
    await until(async () => !(await isTooWide(page)));
    await page.setViewportSize({ width: 1280, height: 900 });
  };

  it('show a key until somebody says that it is stored, whatever Escape does, and the next one too', async () => {
    await open(`tenants/${TENANT}`);
    const rotated = async () => {
      await button(`Rotate ${NEWEST}`).click();
      await button('Make another text', dialog()).click();
      const shown = page.getByRole('dialog', { name: 'The key, shown this once' });
      await shown.waitFor();
      return shown;
    };
    const keys: string[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const shown = await rotated();
      for (let press = 0; press < 3; press++) await page.keyboard.press('Escape');
      keys.push((await shown.locator('.secret code').textContent()) ?? '');
      await button('I have stored it', shown).click();
      await gone();
    }
    for (const key of keys) expect(key).toMatch(/^plk_/);
    expect(new Set(keys).size).toBe(2);
    // What may be left with Escape is, and is there again when it is wanted again.
    for (let turn = 0; turn < 2; turn++) {
      await button('Create a key').click();
      await dialog().waitFor();
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await gone();
    }
  });

  it('keep what was loaded of a list when something in it is changed', async () => {
    await open(`tenants/${TENANT}`);
    const rows = page.getByRole('rowheader');
    await expect.poll(() => rows.count()).toBe(50);
    expect(await rows.first().textContent()).toContain(NEWEST);
    await button('Show more').click();
    await expect.poll(() => rows.count()).toBe(KEYS);
    expect(await rows.last().textContent()).toMatch(/^key 0/);
    const reloaded = page.waitForResponse(
      (response) => response.request().method() === 'GET' && response.url().includes('/keys?'),
    );
    await button(/^Block key 3/)
      .first()
      .click();
    await confirm('Block it');
    await reloaded;
    await page.getByText('blocked', { exact: true }).waitFor();
    expect(await rows.count()).toBe(KEYS);
  });

  it('hold a version in memory, and let it go', async () => {
    await open(`adapters/${ADAPTER}`);
    const row = page.getByRole('row').filter({ has: page.getByText('v1', { exact: true }) });
    await button('Hold in memory v1', row).click();
    await row.getByText('held', { exact: true }).waitFor();
    const { releases } = await ask('GET', `adapters/${ADAPTER}`);
    const { digest } = releases.find(({ release }: Json) => release === 'v1');
    const owner = async () => (await ask('GET', 'pool')).owners.find((each: Json) => each.digest === digest);
    expect(await owner()).toMatchObject({ pinned: true });
    // What lies in the store is another matter.
    expect(await row.getByText('pinned').count()).toBe(0);
    await looksRight();
    await page.reload();
    await button('Let go v1', row).click();
    await button('Hold in memory v1', row).waitFor();
    expect(await owner()).toMatchObject({ pinned: false });
  });

  it('send a version with what it was made from, which is the latest unless told', async () => {
    await open(`adapters/${ADAPTER}`);
    await button('Upload a version').click();
    const latest = (await ask('GET', `adapters/${ADAPTER}`)).releases[0];
    const parent = page.getByLabel('Made from');
    await expect.poll(() => parent.inputValue()).toBe(latest.digest);
    await looksRight();
    const files = page.locator('input[type=file]');
    const choose = async (adapter: string) => {
      for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
        await files.setInputFiles(join(DEMO_ADAPTERS, adapter, file));
    };
    await choose('support-triage');
    await button('Upload').click();
    await page.getByText(`${ADAPTER} is there as v3`).first().waitFor();
    const [third] = (await ask('GET', `adapters/${ADAPTER}`)).releases;
    expect(third).toMatchObject({ release: 'v3', parent: latest.digest });
    await expect.poll(() => parent.inputValue()).toBe(third.digest);
    await parent.selectOption({ label: 'The base model' });
    await choose('text-to-sql');
    await button('Upload').click();
    await page.getByText(`${ADAPTER} is there as v4`).first().waitFor();
    expect((await ask('GET', `adapters/${ADAPTER}`)).releases[0].parent).toBeNull();
  });

  it('ask before an upload is left, and throw away what was sent of one that is stopped', async () => {
    await open('adapters');
    await button('Upload an adapter').click();
    for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
      await page.locator('input[type=file]').setInputFiles(join(DEMO_ADAPTERS, 'pirate', file));
    await page.getByLabel('Name', { exact: true }).fill('slow');
    // It never comes to an end.
    await page.route(/\/adapters\/uploads\//, (route) =>
      route.request().method() === 'PATCH' ? undefined : route.continue(),
    );
    await button('Upload').click();
    await page.getByText('Sending …').waitFor();
    expect((await ask('GET', 'adapters/uploads')).data).toHaveLength(1);
    const asked = page.waitForEvent('dialog');
    void page.reload().catch(() => {});
    const warning = await asked;
    expect(warning.type()).toBe('beforeunload');
    await warning.dismiss();
    await button('Stop').click();
    await page.getByText('The upload is stopped').waitFor();
    await until(async () => (await ask('GET', 'adapters/uploads')).data.length === 0);
  });

  it('find entries by words of their questions while they are typed', async () => {
    await open('cache/entries');
    const questions = page.locator('.question');
    await expect.poll(() => questions.count()).toBe(QUESTIONS.length);
    const sought: string[] = [];
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route(/\/cache\/entries\?.*q=/, async (route) => {
      sought.push(new URL(route.request().url()).searchParams.get('q') ?? '');
      await held;
      // Nobody waits any more for what was asked before.
      await route.continue().catch(() => {});
    });
    const words = page.getByLabel('Words of the question');
    const typed = 'WHERE parcel';
    await words.pressSequentially(typed, { delay: 20 });
    const panel = page.getByRole('region', { name: 'Entries, the newest first' });
    await expect.poll(() => sought.at(-1)).toBe(typed);
    expect(sought.length).toBeLessThan(typed.length / 2);
    // What was there stays until the answer comes.
    expect([await panel.getAttribute('aria-busy'), await questions.count()]).toEqual([
      'true',
      QUESTIONS.length,
    ]);
    answer();
    await expect.poll(() => questions.allTextContents()).toEqual(['Where is my parcel?']);
    expect(await panel.getAttribute('aria-busy')).toBe('false');
    await looksRight();
    await words.fill('nothing like it');
    await page.getByText('No entry passes the filters').waitFor();
    await words.fill('');
    await page.getByLabel('Category').selectOption('code');
    await page.getByText('No entry passes the filters').waitFor();
    await page.getByLabel('Category').selectOption({ label: 'Any' });
    await expect.poll(() => questions.count()).toBe(QUESTIONS.length);
    const list = await page.getByLabel('Tag', { exact: true }).getAttribute('list');
    const tags = page.locator(`datalist[id="${list}"] option`);
    expect(await tags.evaluateAll((options) => options.map((each) => each.getAttribute('value')))).toEqual([
      'docs',
    ]);
  });

  it('try what was asked for, or nothing', async () => {
    await open(`playground?adapter=${encodeURIComponent(ADAPTER)}`);
    const chosen = page.locator('.model-picker input:checked');
    await expect.poll(() => chosen.count()).toBe(2);
    await open(`playground?adapter=${encodeURIComponent(THEIRS)}`);
    await page.getByText(`${THEIRS} cannot be asked here.`).waitFor();
    expect(await chosen.count()).toBe(0);
    await page.getByLabel('Prompt', { exact: true }).fill('Who are you?');
    expect(await button('Ask').isDisabled()).toBe(true);
    await looksRight();
  });

  it('keep what was filled in when the session ends, until somebody signs in again', async () => {
    await open('cache/purge');
    await page.getByLabel('Tag', { exact: true }).fill('docs');
    await page.context().clearCookies();
    await button('Count what matches').click();
    const ended = page.getByRole('dialog', { name: 'Your session has ended' });
    await ended.waitFor();
    for (let press = 0; press < 3; press++) await page.keyboard.press('Escape');
    // It may be away for a moment.
    await ended.waitFor();
    await looksRight();
    await signIn(ended);
    await gone();
    expect(await page.getByLabel('Tag', { exact: true }).inputValue()).toBe('docs');
    await button('Count what matches').click();
    await page.getByText(/entries .* match/).waitFor();
    await page.context().clearCookies();
    await button('Count what matches').click();
    await button('Leave the page', ended).click();
    await page.getByLabel('Operator or administrator key').waitFor();
    expect(await page.getByLabel('Tag', { exact: true }).count()).toBe(0);
  });

  it('ask before what others use is changed', async () => {
    await ask('PUT', `adapters/${ADAPTER}/grants`, { tenant: TENANT });
    await ask('PUT', `adapters/${ADAPTER}/tags/stable`, { version: 'v1' });
    const adapter = () => ask('GET', `adapters/${ADAPTER}`);
    await open(`adapters/${ADAPTER}`);
    await button(`Take back from Tenant ${TENANT}`).click();
    await dialog().waitFor();
    expect((await adapter()).grants).toHaveLength(1);
    await confirm('Take it back');
    expect((await adapter()).grants).toHaveLength(0);
    const { stable } = (await adapter()).tags;
    await page.getByLabel('Tag', { exact: true }).fill('stable');
    await page.getByLabel('Version', { exact: true }).selectOption('v2');
    await button('Set the tag').click();
    await dialog().waitFor();
    expect((await adapter()).tags.stable).toBe(stable);
    await confirm('Move it to v2');
    expect((await adapter()).tags.stable).not.toBe(stable);
    // One that nobody can know yet is set at once.
    await page.getByLabel('Tag', { exact: true }).fill('new');
    await button('Set the tag').click();
    await button('Take away the tag new').click();
    await confirm('Take it away');
    expect(Object.keys((await adapter()).tags).sort()).toEqual(['latest', 'stable']);
  });

  it('say so where categories or signing out failed', async () => {
    await page.route('**/admin/v1/cache/categories', (route) => route.abort());
    await open('cache');
    await page.getByRole('alert').waitFor();
    expect(await button('Adjust general').isDisabled()).toBe(true);
    await page.unroute('**/admin/v1/cache/categories');
    await button('Try again').click();
    await button('Adjust general').click();
    await dialog().getByLabel('Strictness').waitFor();
    await page.keyboard.press('Escape');
    await gone();
    await page.route('**/admin/session', (route) => route.abort());
    await button('Sign out').click();
    await page.getByText('You are still signed in').waitFor();
    await page.unroute('**/admin/session');
    await button('Sign out').click();
    await page.getByLabel('Operator or administrator key').waitFor();
  });
});
