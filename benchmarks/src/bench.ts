// `npm run bench [-- --rounds N]`: sixteen adapters at once against the base model alone.
import { parseArgs } from 'node:util';
import { writeReport } from './report.ts';
import { formatSpread } from './statistics.ts';
import {
  CHAT,
  measureThroughput,
  PROMPT_HEAVY,
  type Throughput,
  type ThroughputReport,
} from './throughput.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const rounds = Number(values.rounds);
const reports = [
  await measureThroughput(CHAT, rounds, []),
  await measureThroughput(PROMPT_HEAVY, rounds, []),
];

const row = (title: string, { tokensPerSecond, decodeTokensPerSecond, firstTokenMs }: Throughput) =>
  `| ${title} | ${formatSpread(tokensPerSecond)} | ${formatSpread(decodeTokensPerSecond)} | ${formatSpread(firstTokenMs)} |`;

const section = (report: ThroughputReport) => [
  `## ${report.promptTokens} tokens in, ${report.newTokens} out`,
  '| | tok/s in all, prompts included | tok/s while all decode | ms to the first token, mean |',
  '| --- | --- | --- | --- |',
  row(`${report.streams} adapters`, report.adapters),
  row('base model', report.base),
  '',
  `Adapters reach ${formatSpread(report.ratio, 2)} of the base model's tok/s.`,
  '',
];

writeReport(
  'throughput',
  'Sixteen streams, with and without adapters',
  [
    'Sixteen streams at once over HTTP, greedy; median (least to most) of the rounds, alternating. Rank-16 adapters on all seven',
    'projections, one for each stream. Only new tokens are counted.',
    '',
    ...reports.flatMap(section),
  ],
  { workloads: reports },
);
