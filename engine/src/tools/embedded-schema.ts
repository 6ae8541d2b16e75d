/** As the addon sets them for whole answers: white space is bounded. */
export const JSON_OPTIONS = { whitespace_pattern: '\\x20|\\n[\\x20\\x09]{0,40}' } as const;

/** A schema put into another at a place (a JSON pointer): its references point from there. */
export function embedded(schema: unknown, place: string): unknown {
  if (Array.isArray(schema)) return schema.map((each) => embedded(each, place));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).flatMap(([key, value]) => {
      // Options of the compiler's are not a client's to set.
      if (key === 'x-guidance') return [];
      if (key === '$ref' && typeof value === 'string' && value.startsWith('#')) {
        return [[key, `#${place}${value.slice(1)}`]];
      }
      return [[key, embedded(value, place)]];
    }),
  );
}
