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
    // The names' patterns are looked at in pairs.
    expect(cost({ patternProperties: named(9) })).toBeNull();
    // What is referred to again is compiled once.
    const referring = { allOf: many(3, () => ({ $ref: '#/$defs/a~1b' })) };
    expect(cost({ ...referring, $defs: { 'a/b': { allOf: many(8, () => pattern) } } })).toBeNull();
    expect(cost({ ...referring, $defs: { 'a/b': { allOf: many(9, () => pattern) } } })).toContain(
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

  it('is of alternatives the costliest, where several lists of them hold at once', () => {
    const either = { anyOf: [pattern, { type: 'null' }] };
    expect(cost({ allOf: many(8, () => either) })).toBeNull();
    expect(cost({ allOf: many(9, () => either) })).toContain('8 patterns');
    expect(cost({ allOf: many(9, () => ({ oneOf: [{ anyOf: [pattern] }] })) })).toContain('8 patterns');
    expect(cost({ anyOf: many(20, () => ({ properties: { a: pattern } })) })).toBeNull();
  });

  it.each<[string, (each: object) => object]>([
    ['properties', (each) => ({ properties: { a: each } })],
    ['items', (each) => ({ items: each })],
    ['prefixItems', (each) => ({ prefixItems: [each] })],
    ['additionalProperties', (each) => ({ additionalProperties: each })],
    ['patternProperties', (each) => ({ patternProperties: { '^a': each } })],
    ['alternatives', (each) => ({ anyOf: [{ properties: { a: each } }, { properties: { a: pattern } }] })],
    [
      'what is deeper',
      (each) => ({ properties: { a: { items: { allOf: [{ properties: { b: each } }] } } } }),
    ],
  ])('is of what holds for the same value within: %s', (_, within) => {
    expect(cost({ allOf: many(4, () => within(pattern)) })).toBeNull();
    expect(cost({ allOf: many(9, () => within(pattern)) })).toContain('8 patterns');
    // Of different values each has its own.
    expect(cost({ properties: Object.fromEntries(many(100, (i) => [`p${i}`, within(pattern)])) })).toBeNull();
  });

  it('is of what one schema says of all that another names', () => {
    const rest = many(8, () => ({ additionalProperties: pattern }));
    expect(cost({ allOf: [{ properties: { a: {} } }, ...rest] })).toBeNull();
    expect(cost({ allOf: [{ properties: { a: pattern } }, ...rest] })).toContain('8 patterns');
    const items = many(8, () => ({ items: pattern }));
    expect(cost({ allOf: [{ prefixItems: [pattern] }, ...items] })).toContain('8 patterns');
    // Its own names are no others.
    expect(
      cost({ properties: { a: pattern }, additionalProperties: { allOf: many(8, () => pattern) } }),
    ).toBeNull();
  });

  it('is found at once where references have no end, or double', () => {
    expect(cost({ $ref: '#' })).toBeNull();
    expect(cost({ allOf: [{ $ref: '#' }, { $ref: '#' }], pattern: 'a' })).toBeNull();
    const doubling = Object.fromEntries(
      many(60, (index) => [`p${index}`, { allOf: many(2, () => ({ $ref: `#/$defs/p${index + 1}` })) }]),
    );
    expect(cost({ $ref: '#/$defs/p0', $defs: doubling })).toBeNull();
    const lists = Object.fromEntries(
      many(60, (index) => [`p${index}`, { anyOf: many(2, () => ({ $ref: `#/$defs/p${index + 1}` })) }]),
    );
    expect(cost({ $ref: '#/$defs/p0', $defs: lists })).toBeNull();
    expect(cost({ ...pattern, anyOf: [{ $ref: '#' }, { anyOf: [{ $ref: '#' }] }] })).toBeNull();
    const far = Object.fromEntries(
      many(20_000, (index) => [`p${index}`, { anyOf: [{ $ref: `#/$defs/p${index + 1}` }, pattern] }]),
    );
    expect(cost({ $ref: '#/$defs/p0', $defs: far })).toContain('too many others');
    const chains = many(2, (which) => ({
      properties: { next: { $ref: `#/allOf/${which}` }, a: pattern, b: { $ref: '#' } },
    }));
    expect(cost({ allOf: chains })).toBeNull();
    const long = `#${'/'.repeat(1_000_000)}`;
    const began = performance.now();
    const circles = { anyOf: many(2_000, () => ({ $ref: '#/$defs/x' })), $defs: { x: { $ref: long } } };
    expect(cost(circles)).toBeNull();
    expect(cost({ anyOf: many(20, (index) => ({ $ref: long.slice(index) })) })).toContain('too many others');
    expect(performance.now() - began).toBeLessThan(10_000);
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
