import { Counter, Histogram, Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { expose, type Family } from './exposition.ts';
import { CounterFamily, HistogramFamily } from './series.ts';

const BOUNDS = [0.1, 0.5, 1, 10];
const OPTIONS = { help: 'Help.', labelNames: ['route', 'status'] };

async function textOf(registry: Registry): Promise<string> {
  const families = (await registry.getMetricsAsJSON()) as unknown as (Family & {
    values: Family['samples'];
  })[];
  return expose(
    families.map(({ name, help, type, values }) => ({ name, help, type, samples: values })),
    'text',
  );
}

/** Lines without the order of their labels, which means nothing. */
const linesOf = (text: string) =>
  text.split('\n').map((line) => line.replace(/\{(.*)\}/, (_, labels) => `{${labels.split(',').sort()}}`));

it('are those of prom-client', async () => {
  const [own, theirs] = [new Registry(), new Registry()];
  const counter = new CounterFamily({ name: 'requests_total', ...OPTIONS });
  const plain = new CounterFamily({ name: 'plain_total', help: 'Help.', labelNames: [] });
  const histogram = new HistogramFamily({ name: 'seconds', ...OPTIONS }, BOUNDS, false);
  const empty = new HistogramFamily({ name: 'empty', help: 'Help.', labelNames: [] }, BOUNDS, false);
  for (const family of [counter, plain, histogram, empty]) own.registerMetric(family as never);
  const registers = [theirs];
  const counterThere = new Counter({ name: 'requests_total', ...OPTIONS, registers });
  new Counter({ name: 'plain_total', help: 'Help.', registers });
  const histogramThere = new Histogram({ name: 'seconds', ...OPTIONS, buckets: BOUNDS, registers });
  new Histogram({ name: 'empty', help: 'Help.', buckets: BOUNDS, registers });
  let state = 7;
  for (let i = 0; i < 1_000; i++) {
    state = (state * 48_271) % 2_147_483_647;
    const labels = { route: `/${state % 3}`, status: String(200 + (state % 2)) };
    // On the bounds, too.
    const value = state % 5 === 0 ? BOUNDS[state % 4]! : (state % 2_000) / 100;
    counter.add(labels, value);
    counterThere.inc(labels, value);
    histogram.observe(labels, value, null);
    histogramThere.observe(labels, value);
  }
  expect(linesOf(await textOf(own))).toEqual(linesOf(await textOf(theirs)));
  const gone = { route: '/1', status: '200' };
  counter.remove(gone);
  counterThere.remove(gone);
  histogram.remove(gone);
  histogramThere.remove(gone);
  expect(linesOf(await textOf(own))).toEqual(linesOf(await textOf(theirs)));
  // And begins anew, by the same labels again and again, too.
  for (let i = 0; i < 2; i++) {
    counter.add(gone, 2);
    counterThere.inc(gone, 2);
    histogram.observe(gone, 0.2, null);
    histogramThere.observe(gone, 0.2);
    counter.remove(gone);
    counterThere.remove(gone);
    counter.add(gone, 3);
    counterThere.inc(gone, 3);
  }
  expect(linesOf(await textOf(own))).toEqual(linesOf(await textOf(theirs)));
});
