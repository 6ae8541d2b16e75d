import { fleetRow } from '../adapters/adapter-report.ts';
import { FLEET_LOAD, type Setting, withServedFleet } from '../adapters/served-fleet.ts';
import { alternate } from '../alternate.ts';
import { measureRates } from '../http/rates.ts';
import { formatSpread, percentile, ratioSpread, spread } from '../statistics.ts';
import type { Figure, FigureOptions } from './figure.ts';

const ROUNDS = 3;
const MANY = 2_000;
const MANY_QUICKLY = 300;
const FEW = 5;

const WHERE = `adapters on q, k, v, o of ranks 8–64, pool of 512 MB, ${FLEET_LOAD.clients} clients over HTTP`;

export const adapters2000Vs5: Figure = {
  name: 'adapters2000-vs-5',
  description: `output tok/s with requests Zipf-distributed over ${MANY} ${WHERE} ÷ over ${FEW}`,
  must: '>=',
  bound: 0.95,
  async measure(options) {
    const { few, zipf, details } = await measureFleet(options);
    return { value: ratioSpread(zipf.rates, few.rates).median, details };
  },
};

export const adapters2000Uniform: Figure = {
  name: 'adapters2000-uniform',
  description: `95th percentile of the time to the first token with requests uniform over ${MANY} ${WHERE} ÷ Zipf-distributed`,
  must: '<=',
  bound: 3,
  async measure(options) {
    const { zipf, uniform, details } = await measureFleet(options);
    return { value: uniform.firstTokenP95 / zipf.firstTokenP95, details };
  },
};

async function measureFleet({ rounds = ROUNDS, quick = false }: FigureOptions) {
  const many = quick ? MANY_QUICKLY : MANY;
  const settings: readonly Setting[] = [
    { count: FEW, popularity: 'Zipf' },
    { count: many, popularity: 'Zipf' },
    { count: many, popularity: 'uniform' },
  ];
  return withServedFleet(many, async ({ fleet, measure }) => {
    const sides = settings.map((setting, index) => ({
      name: `${setting.count} ${setting.popularity}`,
      measure: (round: number) => measure(setting, FLEET_LOAD, round * settings.length + index),
    }));
    const results = await alternate(sides, rounds, () => {});
    const [few, zipf, uniform] = results.map((side) => ({
      rates: side.map(({ completions }) => measureRates(completions).tokensPerSecond),
      firstTokenP95: percentile(
        side.flatMap(({ completions }) => completions.map((done) => done.firstTokenAt - done.startedAt)),
        0.95,
      ),
    }));
    if (few === undefined || zipf === undefined || uniform === undefined)
      throw new Error('nothing was measured');
    const lines = settings.map(({ count, popularity }, index) => {
      const { tokensPerSecond, firstTokenMs, distinct, loads } = fleetRow(
        count,
        popularity,
        results[index] ?? [],
      );
      const bytes = (loads.median * fleet.bytes) / fleet.names.length / 1e6;
      return (
        `${count}, ${popularity}: ${formatSpread(tokensPerSecond)} tok/s, first token within ${firstTokenMs.percentile95.toFixed(0)} ms for 95 %, ` +
        `${formatSpread(distinct)} asked for, ${formatSpread(loads)} read (about ${bytes.toFixed(0)} MB)`
      );
    });
    return {
      few,
      zipf,
      uniform,
      details: [
        ...lines,
        `Zipf over ${many} ÷ over ${FEW}: ${formatSpread(ratioSpread(zipf.rates, few.rates), 3)}`,
        `uniform over ${many} ÷ over ${FEW}: ${formatSpread(ratioSpread(uniform.rates, few.rates), 3)}`,
        `requests a round: ${spread(results.flat().map(({ completions }) => completions.length)).median}, in ${rounds} rounds`,
      ],
    };
  });
}
