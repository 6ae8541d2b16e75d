/**
 * The first key that occurs twice in one object of a JSON text, or null. `JSON.parse` keeps the last of two
 * such keys without a word, while other readers keep the first or refuse.
 *
 * @param json a text that `JSON.parse` accepts; nothing else is checked here
 */
export function findDuplicateKey(json: string): string | null {
  // One entry per open container: the keys seen so far for an object, null for an array.
  const open: (Set<string> | null)[] = [];
  let position = 0;
  while (position < json.length) {
    const character = json[position];
    if (character === '"') {
      const end = stringEnd(json, position);
      if (isKey(json, end)) {
        const key = JSON.parse(json.slice(position, end)) as string;
        const keys = open.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
      }
      position = end;
      continue;
    }
    if (character === '{') open.push(new Set());
    else if (character === '[') open.push(null);
    else if (character === '}' || character === ']') open.pop();
    position += 1;
  }
  return null;
}

/** Where the string that begins at `start` ends, its closing quote included. */
function stringEnd(json: string, start: number): number {
  let position = start + 1;
  while (json[position] !== '"') position += json[position] === '\\' ? 2 : 1;
  return position + 1;
}

/** In valid JSON a string is a key exactly where a colon follows it. */
function isKey(json: string, end: number): boolean {
  let position = end;
  while (' \t\n\r'.includes(json[position] ?? 'x')) position += 1;
  return json[position] === ':';
}
