import { describe, expect, it } from 'vitest';
import { isGranted } from './model-grants.ts';

const base = { id: 'SmolLM2', parent: null, task: 'generate' } as const;
const embedder = { id: 'MiniLM', parent: null, task: 'embed' } as const;
const support = { id: 'acme/support', parent: 'SmolLM2', task: 'generate' } as const;

describe('a list of models', () => {
  it.each([
    [['*'], base, true],
    [['*'], support, true],
    [['base'], base, true],
    [['SmolLM2'], base, true],
    [['base'], support, false],
    [['acme/support'], support, true],
    [['acme/support'], { ...support, id: 'acme/support@v3' }, true],
    [['acme/*'], support, true],
    [['acme/*'], { ...support, id: 'acme-other/support' }, false],
    [['acme/supp'], support, false],
    [['acme/support'], base, false],
    [[], base, false],
    [['base'], embedder, false],
    [['MiniLM'], embedder, true],
    [['*'], embedder, true],
    [['pirate'], { ...support, id: 'pirate' }, true],
  ])('%j lets %j be used: %s', (models, model, expected) => {
    expect(isGranted(models, model)).toBe(expected);
  });
});
