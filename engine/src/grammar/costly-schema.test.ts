import { describe, expect, it } from 'vitest';
import { costOf, costOfInlineSchemas } from './costly-schema.ts';

const many = <T>(count: number, each: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => each(index));
const named = (count: number) => Object.fromEntries(many(count, (index) => [`p${index}`, {}]));
const pattern = { pattern: 'a' };
const cost = (schema: unknown) => costOf(JSON.stringify(schema));

describe('the cost of a schema', () => {
  it('is of properties that may be left out, by the square, wherever they are', () => {
    expect(cost({ properties: named(2_000) })).toBeNull();
    expect(cost({ properties: named(2_001) })).toContain('2000 properties');
    expect(cost({ properties: named(9_000), required: Object.keys(named(9_000)) })).toBeNull();
    expect(cost({ items: [{ anyOf: [{ properties: named(2_001) }] }] })).toContain('2000 properties');
    // Half as many are a quarter each.
    expect(cost({ anyOf: many(4, () => ({ properties: named(1_000) })) })).toBeNull();
    expect(cost({ anyOf: many(5, () => ({ properties: named(1_000) })) })).toContain('2000 properties');
  });

  it('is of patterns that hold at once, and not of those that hold apart', () => {
    expect(cost({ allOf: many(8, () => pattern) })).toBeNull();
    expect(cost({ allOf: many(9, () => pattern) })).toContain('8 patterns');
    expect(cost({ ...pattern, format: 'date', allOf: many(7, () => pattern) })).toContain('8 patterns');
    expect(cost({ anyOf: many(100, () => pattern) })).toBeNull();
    expect(cost({ allOf: many(100, () => ({ type: 'object' })) })).toBeNull();
    expect(cost({ patternProperties: named(9) })).toContain('8 patterns');
    const referring = { allOf: many(3, () => ({ $ref: '#/$defs/a~1b' })) };
    expect(cost({ ...referring, $defs: { 'a/b': { allOf: many(2, () => pattern) } } })).toBeNull();
    expect(cost({ ...referring, $defs: { 'a/b': { allOf: many(3, () => pattern) } } })).toContain(
      '8 patterns',
    );
    // With steps between them that add nothing.
    const far = many(9, () => pattern).reduce<object>(
      (inner, each) => ({ ...each, allOf: [{ allOf: [{ allOf: [inner] }] }] }),
      {},
    );
    expect(cost(far)).toContain('8 patterns');
    const nested = many(9, () => pattern).reduce<object>((inner, each) => ({ ...each, allOf: [inner] }), {});
    expect(cost(nested)).toContain('8 patterns');
  });

  it('is found at once where references have no end, or double', () => {
    expect(cost({ $ref: '#' })).toBeNull();
    expect(cost({ allOf: [{ $ref: '#' }, { $ref: '#' }], pattern: 'a' })).toContain('8 patterns');
    const doubling = Object.fromEntries(
      many(60, (index) => [`p${index}`, { allOf: many(2, () => ({ $ref: `#/$defs/p${index + 1}` })) }]),
    );
    expect(cost({ $ref: '#/$defs/p0', $defs: doubling })).toContain('too many others');
  });

  it('is that of the schemas in a grammar, too', () => {
    const costly = JSON.stringify({ note: 'a } "', allOf: many(9, () => pattern) });
    expect(costOfInlineSchemas('start: /%jso/')).toBeNull();
    expect(costOfInlineSchemas('start: a b\na: %json {"type": "object"}\nb: %json true')).toBeNull();
    expect(costOfInlineSchemas(`start: a b\na: %json {"type": "object"}\nb: %json${costly}`)).toContain(
      '8 patterns',
    );
    expect(costOfInlineSchemas(`start: %json ${costly} "x" `)).toContain('8 patterns');
    expect(costOfInlineSchemas('start: %json {')).toBeNull();
  });

  it('of what is no JSON, or no object, is for the compiler to say', () => {
    for (const text of ['{', 'true', '[]', '{"$ref":"#/a/b","properties":[],"allOf":{}}'])
      expect(costOf(text)).toBeNull();
  });
});
