import { readFileSync } from 'node:fs';

/** Memory of a process that is in RAM now, in bytes. */
export interface ResidentMemory {
  /** All of it; pages of mapped files count as well. */
  readonly total: number;
  /** Of the mapping that is at least as large as asked for, the largest one. */
  readonly largest: number;
}

/**
 * Reads what Linux says of a process.
 * @param leastBytes size of a mapping, resident or not
 * @throws Error where /proc does not tell, or no mapping is so large.
 */
export function residentMemory(pid: number, leastBytes: number): ResidentMemory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const total = kibibytes(status, 'VmRSS');
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const large = mappings
    .map((mapping) => ({ size: kibibytes(mapping, 'Size'), resident: kibibytes(mapping, 'Rss') }))
    .filter(({ size }) => size >= leastBytes)
    .sort((a, b) => b.size - a.size);
  const [largest] = large;
  if (largest === undefined) throw new Error(`process ${pid} has no mapping of ${leastBytes} bytes`);
  return { total, largest: largest.resident };
}

/** The value of `name:   1234 kB` in bytes. */
function kibibytes(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc does not tell ${name}`);
  return Number(value) * 1024;
}
