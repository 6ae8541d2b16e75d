/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * Adds up the closing lines of `cargo test`, one for each test binary and for the doc tests.
 * @param {string} text what it printed
 * @returns {Counts}
 */
export function cargoCounts(text) {
  const lines = text.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm);
  return [...lines]
    .map(([, passed, failed, skipped]) => ({
      passed: Number(passed),
      failed: Number(failed),
      skipped: Number(skipped),
    }))
    .reduce(addCounts, { passed: 0, failed: 0, skipped: 0 });
}

/**
 * Reads vitest's JSON report.
 * @param {string} json
 * @returns {Counts}
 */
export function vitestCounts(json) {
  const report = JSON.parse(json);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/**
 * A run that ended badly without a failed test (it did not compile, a file did not load) counts as one failure.
 * @param {Counts} counts
 * @param {number} status the run's exit status
 * @returns {Counts}
 */
export function withStatus(counts, status) {
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/**
 * @param {Counts} a
 * @param {Counts} b
 * @returns {Counts}
 */
export function addCounts(a, b) {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}
