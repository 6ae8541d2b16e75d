/**
 * Three hundred schemas that others wrote: what a model with random weights writes under them, ajv takes; what cannot be
 * enforced is refused by name.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Engine } from '@polylora/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startTinyEngine, tokens } from '../support/engine.ts';
import { REAL_WORLD, readSchemas, readSuite, type Schema, validator } from '../support/schemas.ts';

const PATIENCE_MS = 600_000;
const AT_ONCE = 32;

let engine: Engine;
/** Makes tokens that close something likelier: else a model with random weights seldom comes to an end. */
const closing: [token: number, bias: number][] = [];
beforeAll(async () => {
  engine = await startTinyEngine('llama', { poolBytes: 128 << 20, maxRunning: AT_ONCE });
  for (const text of ['"', '}', ']']) {
    const ids = await engine.tokenize({ kind: 'text', text });
    closing.push([ids.at(-1)!, 3]);
  }
}, PATIENCE_MS);
afterAll(() => engine?.close());

/** Says what is wrong and, where it is not the whole, where. */
const REFUSAL = /^Invalid schema(, at \/.+?)?: (?!panic|Unimplemented).{8,}\.$/;

/** Schemas of each source under which answers came to an end: about so many as do, so that a test that checks none is noticed. */
const LEAST_USED = {
  functions: 70,
  github: 56,
  webhooks: 5,
  kubernetes: 18,
  schemastore: 29,
  webpack: 32,
  angular: 8,
  eslint: 30,
  'json-schema-test-suite': 140,
};

/** By source and reason, the names of what is refused. `POLYLORA_WRITE_SUITE=1` writes what came out in its place, to be read. */
type Refused = Record<string, Record<string, string[]>>;
const REFUSED = join(import.meta.dirname, '..', 'fixtures', 'schemas', 'refused.json');
const foundRefused: Refused = {};
afterAll(async () => {
  if (process.env.POLYLORA_WRITE_SUITE !== undefined) {
    await writeFile(REFUSED, `${JSON.stringify(foundRefused, null, 2)}\n`);
  }
});

interface Outcome {
  readonly refused: string | null;
  readonly complete: number;
  readonly wrong: readonly string[];
}

/** Draws some answers. Those that are cut off say nothing. */
async function draw(schema: Schema, draws: number): Promise<Outcome> {
  let complaint: ReturnType<typeof validator> | null = null;
  let complete = 0;
  const wrong: string[] = [];
  for (let seed = 0; seed < draws; seed++) {
    const answer = await ask(engine, {
      prompt: tokens([5, 9, seed + 10]),
      sampling: {
        constraint: { kind: 'json_schema', field: 'schema', schema: JSON.stringify(schema), lenient: false },
        temperature: seed % 2 === 0 ? 1 : 1.6,
        logitBias: closing,
        maxTokens: 400,
        seed,
      },
    });
    if (answer.error !== null) return { refused: answer.error.message, complete, wrong };
    if (answer.finish?.reason !== 'stop') continue;
    // Of numbers that a double cannot hold ajv does not know whether they are multiples.
    if (/"multipleOf"/.test(JSON.stringify(schema)) && /[\d.]{16}/.test(answer.text)) continue;
    complete++;
    complaint ??= validator(schema);
    const found = complaint(JSON.parse(answer.text));
    if (found !== null) wrong.push(`${found}: ${answer.text.slice(0, 300)}`);
  }
  return { refused: null, complete, wrong };
}

async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]!);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

describe('schemas that others wrote', { timeout: PATIENCE_MS }, () => {
  it.each(REAL_WORLD)('%s: answers are what ajv takes', async (file) => {
    const schemas = await readSchemas(file);
    const outcomes = await inBatches(schemas, ({ schema }) => draw(schema, 4));
    for (const [index, { wrong }] of outcomes.entries()) expect(wrong, schemas[index]!.name).toEqual([]);
    const reasons: Record<string, string[]> = {};
    for (const [index, { refused }] of outcomes.entries()) {
      if (refused === null) continue;
      expect(refused, schemas[index]!.name).toMatch(REFUSAL);
      reasons[refused] = [...(reasons[refused] ?? []), schemas[index]!.name];
    }
    foundRefused[file] = reasons;
    if (process.env.POLYLORA_WRITE_SUITE === undefined) {
      expect(reasons).toEqual((JSON.parse(await readFile(REFUSED, 'utf8')) as Refused)[file]);
    }
    const used = outcomes.filter(({ complete }) => complete > 0).length;
    expect(used).toBeGreaterThanOrEqual(LEAST_USED[file]);
  });

  it('the JSON Schema Test Suite: answers are what ajv takes', async () => {
    const groups = await readSuite();
    const outcomes = await inBatches(groups, ({ schema }) => draw(schema, 3));
    for (const [index, { wrong, refused }] of outcomes.entries()) {
      const { file, description } = groups[index]!;
      expect.soft(wrong, `${file}: ${description}`).toEqual([]);
      if (refused !== null) expect.soft(refused, `${file}: ${description}`).toMatch(REFUSAL);
    }
    const used = outcomes.filter(({ complete }) => complete > 0).length;
    expect(used).toBeGreaterThanOrEqual(LEAST_USED['json-schema-test-suite']);
  });
});
