// `npm run bench [-- --rounds N]`: sixteen adapters at once against the base model alone.
import { parseArgs } from 'node:util';
import { writeReport } from './report.ts';
import { formatSpread } from './statistics.ts';
import { measureThroughput, type Throughput } from './throughput.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const report = await measureThroughput(Number(values.rounds), []);

const row = (title: string, { tokensPerSecond, decodeTokensPerSecond, firstTokenMs }: Throughput) =>
  `| ${title} | ${formatSpread(tokensPerSecond)} | ${formatSpread(decodeTokensPerSecond)} | ${formatSpread(firstTokenMs)} |`;

writeReport(
  'throughput',
  'Sixteen streams, with and without adapters',
  [
    `${report.streams} streams at once over HTTP, prompts of ${report.promptTokens} tokens, ${report.newTokens} new tokens each, greedy; median (least to`,
    `most) of ${report.rounds} rounds each, alternating. Rank-${report.rank} adapters on all seven projections, one for each stream.`,
    '',
    '| | tok/s in all, prompts included | tok/s while all decode | ms to the first token, mean |',
    '| --- | --- | --- | --- |',
    row(`${report.streams} adapters`, report.adapters),
    row('base model', report.base),
    '',
    `Adapters reach ${formatSpread(report.ratio, 2)} of the base model's tok/s.`,
  ],
  report,
);
