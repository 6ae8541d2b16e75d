/** A header's name, and a value of one line without what could end it. */
const PAIR = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\s*$/;

/**
 * Headers as one option has them: `name=value`, several parted by commas.
 * @returns null where it is nothing like that
 */
export function parseExportHeaders(text: string): Record<string, string> | null {
  const headers: Record<string, string> = {};
  for (const part of text.split(',')) {
    const [, name, value] = PAIR.exec(part) ?? [];
    if (name === undefined || value === undefined) return null;
    headers[name.toLowerCase()] = value;
  }
  return headers;
}
