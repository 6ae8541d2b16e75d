// `npm run bench:peers [-- --rounds N] [--clients 1,8,16,32] [--without vllm]`: Polylora, llama.cpp and vLLM as their
// clients see them.
import { parseArgs } from 'node:util';
import { measureLimits } from './kernels/rust-bench.ts';
import { peerReportLines } from './peers/peer-report.ts';
import { measurePeers, type PeerTable } from './peers/peer-table.ts';
import { PEER_WORKLOAD, withPeerSetting } from './peers/setting.ts';
import { installVllm, VllmUnavailable } from './peers/vllm.ts';
import { writeReport } from './report.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    clients: { type: 'string', default: '1,8,16,32' },
    without: { type: 'string', multiple: true, default: [] },
  },
});
const rounds = Number(values.rounds);
const clientCounts = values.clients.split(',').map(Number);

const { vllm, description } = await findVllm(values.without.includes('vllm'));
console.error(`vLLM: ${description}`);
const { tables, bytesPerSecond } = await withPeerSetting(async (setting) => {
  const measured: PeerTable[] = [];
  for (const clients of clientCounts) measured.push(await measurePeers(setting, vllm, clients, rounds));
  return { tables: measured, bytesPerSecond: (await measureLimits(setting.threads)).bytes };
});
writeReport(
  'peers',
  'Polylora beside llama.cpp and vLLM',
  peerReportLines({ tables, vllm: description, rounds, bytesPerSecond }),
  { workload: PEER_WORKLOAD, rounds, bytesPerSecond, vllm: description, tables },
);

/** vLLM, or null and why there is none. */
async function findVllm(leftOut: boolean) {
  if (leftOut) return { vllm: null, description: 'left out.' };
  try {
    const vllm = await installVllm();
    return { vllm, description: vllm.description };
  } catch (error) {
    if (!(error instanceof VllmUnavailable)) throw error;
    return { vllm: null, description: `not measured: ${error.message}` };
  }
}
