/** Debian's Chromium, driven by playwright-core. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';

const CHROMIUM = process.env.POLYLORA_TEST_CHROMIUM ?? '/usr/bin/chromium';

/** Why tests in a browser are skipped; null: they are not. */
export const BROWSER_MISSING = existsSync(CHROMIUM)
  ? null
  : `needs a Chromium at ${CHROMIUM} (apt-get install chromium; POLYLORA_TEST_CHROMIUM names another)`;

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    // As root, which tests in a container are, it has no sandbox.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
}

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What is wrong with a page for those who use it by keyboard, by voice or with little sight: WCAG 2.2 AA, and what axe calls best practices. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Not as an element of the page: its policy lets no such script in.
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations;
  });
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)}: ${failureSummary}`),
  );
}

/** Whether a page is wider than its window, so that it is moved sideways. */
export function isTooWide(page: Page): Promise<boolean> {
  return page.evaluate<boolean>(
    'document.documentElement.scrollWidth > document.documentElement.clientWidth',
  );
}
