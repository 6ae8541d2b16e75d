// `npm test [-- <vitest filter …>]`: sets up, then runs every test; with a filter, only vitest on that filter.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, RUST_WORKSPACE } from './paths.mjs';
import { run } from './run.mjs';
import { setUp } from './setup.mjs';
import { addCounts, cargoCounts, vitestCounts, withStatus } from './test-counts.mjs';

await setUp();

const filter = process.argv.slice(2);
const runs = filter.length > 0 ? [testTypescript] : [testRust, testTypescript];
let total = { passed: 0, failed: 0, skipped: 0 };
for (const test of runs) total = addCounts(total, await test());
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function testRust() {
  let text = '';
  const args = ['test', '--release', '--no-fail-fast'];
  const onStdout = (/** @type {string} */ part) => {
    text += part;
  };
  return withStatusOf('Rust', await run('cargo', args, { cwd: RUST_WORKSPACE, onStdout }), () =>
    cargoCounts(text),
  );
}

async function testTypescript() {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-test-'));
  const report = join(folder, 'vitest.json');
  try {
    const cli = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const status = await run(process.execPath, [cli, 'run', ...reporters, ...filter]);
    return withStatusOf('TypeScript', status, () => vitestCounts(readFileSync(report, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} part
 * @param {number} status
 * @param {() => import('./test-counts.mjs').Counts} read
 */
function withStatusOf(part, status, read) {
  const counts = withStatus(read(), status);
  if (status !== 0) console.error(`The ${part} tests ended with status ${status}; the reason is above.`);
  return counts;
}
