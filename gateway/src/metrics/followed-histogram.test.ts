import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { FollowedHistogram } from './followed-histogram.ts';

const counted = (low: number, all: number, sum: number) => ({
  ...{ count: all, sum },
  buckets: [
    { le: 1, count: low },
    { le: 10, count: all },
  ],
});

it('says what another process counted, and goes on where that begins anew', async () => {
  const registry = new Registry();
  const histogram = new FollowedHistogram({ name: 'steps', help: 'Steps.' }, () => ({ model: 'm' }));
  registry.registerMetric(histogram as never);
  const lines = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('steps_'));
  expect(await lines()).toEqual([
    'steps_bucket{le="+Inf",model="m"} 0',
    'steps_sum{model="m"} 0',
    'steps_count{model="m"} 0',
  ]);
  histogram.follow(counted(2, 3, 7.5));
  histogram.follow(counted(4, 6, 15));
  expect(await lines()).toEqual([
    'steps_bucket{le="1",model="m"} 4',
    'steps_bucket{le="10",model="m"} 6',
    'steps_bucket{le="+Inf",model="m"} 6',
    'steps_sum{model="m"} 15',
    'steps_count{model="m"} 6',
  ]);
  histogram.follow(counted(1, 1, 0.5));
  histogram.follow(counted(1, 2, 5));
  expect(await lines()).toEqual([
    'steps_bucket{le="1",model="m"} 5',
    'steps_bucket{le="10",model="m"} 8',
    'steps_bucket{le="+Inf",model="m"} 8',
    'steps_sum{model="m"} 20',
    'steps_count{model="m"} 8',
  ]);
});
