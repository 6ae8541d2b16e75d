import { formatSpread, ratioSpread, spread } from '../statistics.ts';
import { type ContestantResult, outputRates } from './compare.ts';
import { LLAMA_CPP_PACKAGE } from './llama-cpp.ts';
import type { PeerTable } from './peer-table.ts';
import { PEER_WORKLOAD } from './setting.ts';

interface PeerReport {
  readonly tables: readonly PeerTable[];
  /** What vLLM is, or why it was not measured. */
  readonly vllm: string;
  readonly rounds: number;
  /** Of this machine's memory. */
  readonly bytesPerSecond: number;
}

/** The Markdown of `npm run bench:peers`. */
export function peerReportLines({ tables, vllm, rounds, bytesPerSecond }: PeerReport): string[] {
  const { promptTokens, newTokens } = PEER_WORKLOAD;
  return [
    `SmolLM2-135M-Instruct, ${promptTokens} tokens in and ${newTokens} out, streamed over HTTP, greedy; no prompt is sent twice. On the base`,
    'model, or on sixteen distinct rank-16 adapters on all seven projections, chosen by each request. Each number is the median',
    `(least to most) of ${rounds} rounds, in which the sides take turns. Ratios are taken within a round, of output tok/s.`,
    '',
    ...tables.flatMap(section),
    `llama-server is that of ${LLAMA_CPP_PACKAGE}, built for this CPU, with a slot for each client. Its base model is measured without`,
    'adapters loaded, as they cost time even when no request names them.',
    `vLLM: ${vllm}`,
    `This machine's memory is read at ${(bytesPerSecond / 1e9).toFixed(1)} GB/s.`,
  ];
}

function section({ clients, contestants }: PeerTable): string[] {
  const [base, adapters] = contestants;
  return [
    `## ${clients} ${clients === 1 ? 'client' : 'clients'}`,
    '| side | output tok/s | ms to the first token | ms to each next token | Polylora, base ÷ it | Polylora, adapters ÷ it |',
    '| --- | --- | --- | --- | --- | --- |',
    ...contestants.map((side) => {
      const firstToken = spread(side.rounds.map((round) => round.firstTokenMs));
      const nextToken = spread(side.rounds.map((round) => round.nextTokenMs));
      const latencies = [formatSpread(firstToken), formatSpread(nextToken, 1)];
      const rate = formatSpread(spread(outputRates(side)));
      return `| ${[side.name, rate, ...latencies, ratio(base, side), ratio(adapters, side)].join(' | ')} |`;
    }),
    '',
  ];
}

function ratio(polylora: ContestantResult | undefined, side: ContestantResult): string {
  if (polylora === undefined || polylora === side) return '';
  return formatSpread(ratioSpread(outputRates(polylora), outputRates(side)), 2);
}
