/** Numbers as people read them, in plain English notation whatever the browser's language: the page is English. */
const WHOLE = new Intl.NumberFormat('en');
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
/** What stands where there is no number. */
export const NONE = '–';

/** 12,345 */
export function count(value: number | null | undefined): string {
  return value == null ? NONE : WHOLE.format(Math.round(value));
}

/** 12.3K where a place is narrow, and whole below a thousand but for small fractions. */
export function compact(value: number | null | undefined): string {
  if (value == null) return NONE;
  if (Math.abs(value) < 10 && !Number.isInteger(value)) return value.toFixed(1);
  return COMPACT.format(value);
}

/** 1.8 MiB */
export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE;
  let size = value;
  let unit = 0;
  // Rounded first: 1,048,575 bytes are a mebibyte, not 1,024.0 KiB.
  while (unit < BYTE_UNITS.length - 1 && Number(size.toFixed(1)) >= 1_024) {
    size /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** 0.8 ms, 240 ms, 1.24 s, 2 min 5 s */
export function milliseconds(value: number | null | undefined): string {
  if (value == null) return NONE;
  if (value < 0.05) return '0 ms';
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  if (value < 999.5) return `${Math.round(value)} ms`;
  if (value < 59_950) return `${(value / 1_000).toFixed(value < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(value / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** 45 s, 5 min, 2 h, 3 days: the largest unit that it is a whole number of, or one place behind the point. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  const units = [
    ['day', 86_400],
    ['h', 3_600],
    ['min', 60],
  ] as const;
  for (const [unit, size] of units) {
    if (seconds < size) continue;
    const value = Number((seconds / size).toFixed(1));
    return `${value} ${unit}${unit === 'day' && value !== 1 ? 's' : ''}`;
  }
  return `${Math.round(seconds)} s`;
}

/** 12.5 % */
export function percent(share: number | null | undefined, digits = 1): string {
  return share == null ? NONE : `${(share * 100).toFixed(digits)} %`;
}

/** Money has no currency here: prices are in whatever the operator reckons in. */
export function money(value: number | null | undefined): string {
  if (value == null) return NONE;
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** 9f86d081… : enough to tell digests apart by eye. */
export function shortDigest(digest: string): string {
  return digest.length <= 12 ? digest : `${digest.slice(0, 10)}…`;
}
