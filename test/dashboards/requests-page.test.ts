/** The dashboard's list of requests in a real browser, before and after the server was started anew. */
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecentRequests } from '../../gateway/src/requests/recent-requests.ts';
import type { RequestRecord } from '../../gateway/src/requests/request-record.ts';
import { closeServer, createHttpServer, listen } from '../../gateway/src/server.ts';
import { openApp, type TestApp } from '../support/app.ts';
import { BROWSER_MISSING, launchBrowser } from '../support/browser.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

const DIST = fileURLToPath(new URL('../../dashboards/admin/dist', import.meta.url));

if (BROWSER_MISSING !== null) console.warn(`the list of requests is not looked at: it ${BROWSER_MISSING}`);

describe.skipIf(BROWSER_MISSING !== null)('the list of requests', () => {
  let folder: string;
  let browser: Browser;
  let page: Page;
  let requests: RecentRequests;
  let app: TestApp;
  let server: Server;
  let port = 0;

  /** A process after the other, of one database. */
  const start = async () => {
    requests = new RecentRequests();
    app = await openApp({
      requests,
      databaseFile: join(folder, 'polylora.db'),
      dashboardDirectory: DIST,
    });
    server = createHttpServer(app.app.fetch);
    port = await listen(server, '127.0.0.1', port);
  };
  const stop = async () => {
    requests.close();
    await closeServer(server, 0);
    await app.close();
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'polylora-requests-page-'));
    browser = await launchBrowser();
    await start();
    page = await browser.newPage();
    const session = { data: { key: OPERATOR_KEY } };
    expect((await page.request.post(`http://127.0.0.1:${port}/admin/session`, session)).status()).toBe(200);
  });
  afterAll(async () => {
    await browser?.close();
    await stop();
    await rm(folder, { recursive: true, force: true });
  });

  const begin = (model: string, at = Date.now()): RequestRecord => {
    const record = requests.arrive({
      ...{ requestId: 'req_1', at, arrived: performance.now() },
      ...{ method: 'POST', route: '/v1/completions' },
    });
    record.tenant = 'acme';
    record.read({ model, stream: false, choices: 1, isMixture: false, prompt: null });
    requests.begin(record);
    return record;
  };
  const rows = () => page.locator('li.request');
  const isLive = () => page.getByText('Live', { exact: true }).waitFor();
  const states = () => rows().locator('.request-state').allTextContents();

  it('shows requests as they come and go, two hundred at first', async () => {
    await page.goto(`http://127.0.0.1:${port}/admin/requests`);
    await isLive();
    const record = begin('first');
    await expect.poll(states).toEqual(['running']);
    requests.end(record);
    await expect.poll(states).toEqual(['done']);
    // As fast as a reader may fall behind.
    for (let round = 0; round < 3; round++) {
      for (let each = 0; each < 100; each++) requests.end(begin('many'));
      await expect.poll(() => rows().count()).toBeGreaterThanOrEqual(Math.min(200, 100 * (round + 1)));
    }
    await expect.poll(() => rows().count()).toBe(200);
    await page.getByRole('button', { name: 'Show older ones' }).click();
    await expect.poll(() => rows().count()).toBe(301);
    await expect.poll(() => rows().last().textContent()).toContain('first');
  });

  it('says that the server is away, and begins anew with the next process', async () => {
    begin('never ended');
    await expect.poll(async () => (await states())[0]).toBe('running');
    await stop();
    await page.getByText('Connection lost, trying again').waitFor();
    await start();
    requests.end(begin('of the next process'));
    await isLive();
    await expect.poll(states).toEqual(['done']);
    // It counts from 1 as well.
    begin('another of it');
    await expect.poll(states).toEqual(['running', 'done']);
    expect(await rows().allTextContents()).not.toContain('never ended');
  });

  it('has no stream while it is not seen, and knows afterwards what was missed', async () => {
    const [running] = requests.list({ tenant: null, model: null, state: 'running', route: null }, 1, null);
    const turn = (hidden: boolean) =>
      page.evaluate(
        `Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true }); document.dispatchEvent(new Event('visibilitychange'));`,
      );
    await turn(true);
    requests.end(running!);
    await page.waitForTimeout(1_000);
    expect(await states()).toEqual(['running', 'done']);
    await turn(false);
    await expect.poll(states).toEqual(['done', 'done']);
  });

  it('says of what day a request is that is not of today', async () => {
    requests.end(begin('older', new Date(2025, 10, 22, 9, 5, 7).getTime()));
    await expect
      .poll(() => rows().last().locator('.request-time').textContent())
      .toBe('22 Nov 2025 09:05:07');
  });
});
