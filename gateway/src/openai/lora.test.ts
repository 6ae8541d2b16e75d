import { describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { readLora } from './lora.ts';

function refusal(lora: unknown): unknown {
  try {
    return readLora({ lora });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return [error.code, error.param];
  }
}

describe('readLora', () => {
  it('finds the adapters that are applied', () => {
    expect(readLora({})).toEqual([]);
    expect(readLora({ lora: null })).toEqual([]);
    expect(readLora({ lora: [] })).toEqual([]);
    expect(readLora({ lora: [{ id: 7, scale: 0 }] })).toEqual([]);
    const lora = [
      { id: 7, scale: 0 },
      { id: 0, scale: 1 },
      { id: 3, scale: -0.5 },
    ];
    expect(readLora({ lora })).toEqual(lora.slice(1));
  });

  it('refuses the rest by name', () => {
    expect(refusal('x')).toEqual(['invalid_type', 'lora']);
    expect(refusal([7])).toEqual(['invalid_type', 'lora[0]']);
    expect(refusal([{ scale: 1 }])).toEqual(['missing_required_parameter', 'lora[0].id']);
    expect(refusal([{ id: 7 }])).toEqual(['missing_required_parameter', 'lora[0].scale']);
    expect(refusal([{ id: '7', scale: 1 }])).toEqual(['invalid_type', 'lora[0].id']);
    expect(refusal([{ id: 2 ** 31, scale: 1 }])).toEqual(['integer_above_max_value', 'lora[0].id']);
    expect(refusal([{ id: 7, scale: 101 }])).toEqual(['decimal_above_max_value', 'lora[0].scale']);
    expect(refusal(Array.from({ length: 257 }, (_, id) => ({ id, scale: 0 })))).toEqual([
      'array_above_max_length',
      'lora',
    ]);
  });
});
