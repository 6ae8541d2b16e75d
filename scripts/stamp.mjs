import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ROOT, SETUP_CACHE } from './paths.mjs';

/** Folders that never hold a source. */
const SKIPPED = new Set(['node_modules', 'target', 'dist', '.git', '.cache']);

/**
 * All files under a folder whose name passes, in a fixed order.
 * @param {string} folder
 * @param {(name: string) => boolean} accepts
 * @returns {string[]} absolute paths
 */
export function filesUnder(folder, accepts) {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : filesUnder(path, accepts);
    return accepts(entry.name) ? [path] : [];
  });
}

/**
 * A digest of the files' paths and contents, independent of their times.
 * @param {readonly string[]} files absolute paths
 */
export function digestOf(files) {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${relative(ROOT, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/**
 * Whether a step ran for exactly these inputs and what it made is still there.
 * @param {string} step
 * @param {string} digest
 * @param {readonly string[]} outputs absolute paths
 */
export function isCurrent(step, digest, outputs) {
  const stamp = stampFile(step);
  return (
    existsSync(stamp) && readFileSync(stamp, 'utf8') === digest && outputs.every((path) => existsSync(path))
  );
}

/**
 * Remembers that a step has run for these inputs.
 * @param {string} step
 * @param {string} digest
 */
export function recordStamp(step, digest) {
  const stamp = stampFile(step);
  mkdirSync(dirname(stamp), { recursive: true });
  const partial = `${stamp}.${process.pid}`;
  writeFileSync(partial, digest);
  renameSync(partial, stamp);
}

/** @param {string} step */
function stampFile(step) {
  return join(SETUP_CACHE, `${step}.stamp`);
}
