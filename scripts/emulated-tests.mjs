/**
 * `npm run test:emulated [-- [--on <part of a processor's name>] [<test filter …>]]`: runs the kernels' tests on
 * processors that this machine is not, under emulation. Ends with status 1 where a test fails or a processor does not
 * offer the variants that it is meant to test; what cannot be installed here is skipped with the reason.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installBochs, runInBochs } from './emulation/bochs.mjs';
import { CannotInstall } from './emulation/debian-packages.mjs';
import { buildKernelTests } from './emulation/kernel-tests.mjs';
import { PROCESSORS } from './emulation/processors.mjs';
import { installQemuArm, runInQemu } from './emulation/qemu-arm.mjs';
import { withLock } from './lock.mjs';
import { addCounts, cargoCounts, withStatus } from './test-counts.mjs';

/** In engine/native/kernels/tests/expected_variants.rs. */
const VARIANTS_TEST = 'the_variants_are_the_expected_ones';
/** Statistics over hundreds of thousands of draws take minutes here; that the bits are equal is tested by others. */
const LEFT_OUT = ['draws_follow_the_distribution_over_many_blocks'];

const { values, positionals: filters } = parseArgs({
  options: { on: { type: 'string' } },
  allowPositionals: true,
});
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'polylora-emulation');
mkdirSync(cache, { recursive: true });

const chosen = PROCESSORS.filter(({ name }) => name.toLowerCase().includes((values.on ?? '').toLowerCase()));
if (chosen.length === 0) {
  console.error(
    `No processor has ${values.on} in its name: ${PROCESSORS.map(({ name }) => name).join(', ')}.`,
  );
  process.exit(1);
}
const emulators = { bochs: prepareBochs, qemu: prepareQemu };
let total = { passed: 0, failed: 0, skipped: 0 };
/** @type {(() => Promise<void>)[]} */
const waiting = [];
for (const emulator of /** @type {const} */ (['qemu', 'bochs'])) {
  const processors = chosen.filter((processor) => processor.emulator === emulator);
  if (processors.length === 0) continue;
  const start = await prepared(emulators[emulator]);
  if (start instanceof CannotInstall) {
    for (const { name } of processors) console.log(`skipped  ${name}: ${start.message}`);
    total.skipped += processors.length;
    continue;
  }
  waiting.push(...processors.map((processor) => () => test(processor, start)));
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function work() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next();
}

/** @typedef {{ model: string, args: readonly string[], env: Readonly<Record<string, string>> }} Job */
/** @typedef {(job: Job) => Promise<{ ok: boolean, output: string }>} Start */

/**
 * @param {() => Start} prepare
 * @returns {Promise<Start | CannotInstall>}
 */
async function prepared(prepare) {
  try {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new CannotInstall(
        `the emulators are programs for x86-64 Linux, and this is ${process.arch} ${process.platform}`,
      );
    }
    return await withLock(
      join(cache, 'lock'),
      async () => prepare(),
      (owner) => console.log(`Waiting for process ${owner}, which installs the same …`),
    );
  } catch (error) {
    if (error instanceof CannotInstall) return error;
    throw error;
  }
}

/** @returns {Start} */
function prepareQemu() {
  const qemu = installQemuArm(cache);
  const programs = buildKernelTests('aarch64', cache);
  return (job) => runInQemu(qemu, { ...job, programs });
}

/** @returns {Start} */
function prepareBochs() {
  const bochs = installBochs(cache);
  const programs = buildKernelTests('x86_64', cache);
  return (job) => runInBochs(bochs, { ...job, programs });
}

/**
 * @param {import('./emulation/processors.mjs').Processor} processor
 * @param {Start} start
 */
async function test({ name, model, variants }, start) {
  const began = performance.now();
  const { ok, output } = await start({
    model,
    args: [
      ...LEFT_OUT.flatMap((name) => ['--skip', name]),
      ...(filters.length === 0 ? [] : [...filters, VARIANTS_TEST]),
    ],
    env: { POLYLORA_EXPECT_VARIANTS: variants.join(',') },
  });
  const checked = new RegExp(`^test ${VARIANTS_TEST} \\.\\.\\. ok$`, 'm').test(output);
  const counts = withStatus(cargoCounts(output), ok && checked ? 0 : 1);
  total = addCounts(total, counts);
  const seconds = Math.round((performance.now() - began) / 1000);
  if (counts.failed > 0) console.log(`\n${output}`);
  const verdict = counts.failed > 0 ? 'FAILED ' : 'passed ';
  const shown = checked ? variants.join(', ') : 'not the expected ones';
  console.log(
    `${verdict}  ${name}: ${counts.passed} passed, ${counts.failed} failed in ${seconds} s; variants: ${shown}`,
  );
}
