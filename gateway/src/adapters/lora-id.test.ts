import { describe, expect, it } from 'vitest';
import { loraId } from './lora-id.ts';

describe('loraId', () => {
  it('is the same for a name at all times, and a number that every client has room for', () => {
    // Of earlier versions: clients may have written it down.
    expect(loraId('acme/support')).toBe(273_896_257);
    const ids = Array.from({ length: 1000 }, (_, index) => loraId(`acme/adapter-${index}`));
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(Number.isInteger(id) && id >= 0 && id < 2 ** 31).toBe(true);
  });
});
