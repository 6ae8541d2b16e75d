// Makes docs/screenshots: every page of the admin dashboard, light and dark, of a server with some life in it.
// `node scripts/screenshots.mjs`, after `npm run setup`; needs Debian's chromium (POLYLORA_TEST_CHROMIUM names another).
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { ROOT } from './paths.mjs';

const OUT = join(ROOT, 'docs', 'screenshots');
const OPERATOR_KEY = 'operator-key-of-the-screenshots';
/** @type {readonly ['light', 'dark']} */
const SCHEMES = ['light', 'dark'];
const WINDOW = { width: 1280, height: 860 };
const DEMO_ADAPTERS = join(ROOT, 'examples', 'adapters');
const ADAPTER = 'acme/support';
const PAGES = {
  overview: '',
  adapters: 'adapters',
  adapter: `adapters/${encodeURIComponent(ADAPTER)}`,
  'page-pool': 'pool',
  tenants: 'tenants',
  tenant: 'tenants/acme',
  cache: 'cache',
  'cache-entries': 'cache/entries',
  'cache-hits': 'cache/hits',
  'cache-explain': 'cache/explain',
  'cache-purge': 'cache/purge',
  requests: 'requests',
  playground: 'playground',
  backends: 'backends',
};
const QUESTIONS = [
  'How do I reset my password?',
  'How can I reset my password?',
  'Where is my order?',
  'How do I change the address of my order?',
  'What is the capital of Norway?',
  'My invoice shows the wrong amount. What can I do?',
];

const folder = mkdtempSync(join(tmpdir(), 'polylora-screenshots-'));
const gateway = spawn(
  process.execPath,
  [
    join(ROOT, 'gateway', 'bin', 'polylora.js'),
    ...['serve', '--port', '0', '--log-level', 'warn', '--cache', 'semantic', '--embedding-start', 'start'],
    ...['--adapters', DEMO_ADAPTERS, '--data-directory', join(folder, 'data')],
  ],
  {
    env: { ...process.env, POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_STORE: join(folder, 'store') },
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
try {
  const url = await new Promise((resolve, reject) => {
    let said = '';
    gateway.stdout.on('data', (text) => {
      said += text;
      const found = /ready on (http:\S+)\/v1/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    gateway.on('exit', (code) => reject(new Error(`the gateway ended with ${code}`)));
  });
  await live(url);
} finally {
  gateway.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** @param {string} url */
async function live(url) {
  /** @param {string} key @param {string} method @param {string} path @param {object} body */
  const ask = async (key, method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  };
  const keys = [];
  for (const [id, weight] of [
    ['acme', 2],
    ['globex', 1],
  ]) {
    const limits = { requests_per_minute: 600, budgets: { month: { tokens: 20_000 } } };
    await ask(OPERATOR_KEY, 'POST', '/admin/v1/tenants', { id, name: `${id} Ltd.`, weight, limits });
    const made = await ask(OPERATOR_KEY, 'POST', '/admin/v1/keys', { tenant: id, alias: `${id} web shop` });
    keys.push(JSON.parse(made.text).key);
  }
  /** @param {string} adapter @param {Record<string, string>} fields */
  const push = async (adapter, fields) => {
    const form = new FormData();
    form.set('name', ADAPTER);
    for (const [field, value] of Object.entries(fields)) form.set(field, value);
    const files = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' };
    for (const [part, file] of Object.entries(files))
      form.set(part, new Blob([readFileSync(join(DEMO_ADAPTERS, adapter, file))]), file);
    const response = await fetch(`${url}/admin/v1/adapters`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      body: form,
    });
    return JSON.parse(await response.text());
  };
  const { digest: parent } = await push('headline', { note: 'First try', tags: 'stable' });
  await push('support-triage', { note: 'With the questions of October', parent });
  const path = `/admin/v1/adapters/${encodeURIComponent(ADAPTER)}`;
  await ask(OPERATOR_KEY, 'PUT', `${path}/grants`, { tenant: 'acme' });
  await ask(OPERATOR_KEY, 'PUT', `${path}/pin`, {});
  const models = ['base', 'pirate', 'support-triage', 'headline'];
  /** @param {string} key @param {number} i */
  const chat = (key, i) =>
    ask(key, 'POST', '/v1/chat/completions', {
      model: models[i % models.length],
      max_tokens: 24 + (i % 5) * 16,
      temperature: 0,
      messages: [{ role: 'user', content: QUESTIONS[Math.floor(i / models.length) % QUESTIONS.length] }],
    });
  let isOver = false;
  let asked = 0;
  // Something goes on while the pictures are taken.
  const customers = keys.flatMap((key) =>
    [0, 1].map(async () => {
      while (!isOver) {
        await chat(key, asked++);
        await sleep(150);
      }
    }),
  );
  await sleep(20_000);
  await ask('plk_of_nobody', 'POST', '/v1/chat/completions', {});
  const browser = await chromium.launch({
    executablePath: process.env.POLYLORA_TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  mkdirSync(OUT, { recursive: true });
  const page = await browser.newPage({ viewport: WINDOW });
  await page.goto(`${url}/admin`);
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(OUT, `sign-in-${colorScheme}.png`) });
  }
  await page.getByLabel('Operator or administrator key').fill(OPERATOR_KEY);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  for (const [name, path] of Object.entries(PAGES)) {
    await page.goto(`${url}/admin/${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    if (name === 'playground') {
      await page.getByLabel('Prompt', { exact: true }).fill('My parcel arrived broken. What can I do?');
      await page.getByRole('button', { name: /^Ask / }).click();
    }
    if (name === 'cache-explain') {
      await page.getByLabel('Question', { exact: true }).fill('How can I get a new password?');
      await page.getByRole('button', { name: 'Explain' }).click();
    }
    if (name === 'cache-purge') {
      await page.getByLabel('Model', { exact: true }).fill('pirate');
      await page.getByRole('button', { name: 'Count what matches' }).click();
    }
    await sleep(3_000);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      await sleep(300);
      await page.screenshot({ path: join(OUT, `${name}-${colorScheme}.png`) });
    }
  }
  isOver = true;
  await Promise.all(customers);
  await browser.close();
}
