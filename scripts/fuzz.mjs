// `npm run fuzz [-- --runs N] [--seed N]`: malformed safetensors files, a hundred thousand of each sort unless told,
// through the very tests that `npm test` runs five thousand times. A failure prints its seed and the smallest such file.
import { parseArgs } from 'node:util';
import { run } from './run.mjs';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const seed = values.seed === undefined ? {} : { POLYLORA_FUZZ_SEED: values.seed };
const vitest = ['node_modules/vitest/vitest.mjs', 'run', 'engine/safetensors/src/header', '-t', 'malformed'];
process.exitCode = await run(process.execPath, vitest, {
  env: { ...process.env, POLYLORA_FUZZ_RUNS: values.runs, ...seed },
});
