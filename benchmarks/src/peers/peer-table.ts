import { type Contestant, type ContestantResult, compareOverHttp, loadOf } from './compare.ts';
import { PEER_WORKLOAD, type PeerSetting } from './setting.ts';
import { startVllm, type Vllm } from './vllm.ts';

/** All sides, on the base model and on adapters, with so many clients; Polylora's two come first. */
export interface PeerTable {
  readonly clients: number;
  readonly contestants: readonly ContestantResult[];
}

/**
 * Measures all sides in one run. Each peer has a server for its base model and one for its adapters, as loaded
 * adapters would slow its base model; those that are not being asked are idle.
 *
 * @param vllm null where it is left out
 */
export async function measurePeers(
  setting: PeerSetting,
  vllm: Vllm | null,
  clients: number,
  rounds: number,
): Promise<PeerTable> {
  const running: { stop(): Promise<void> }[] = [];
  const started = async <Server extends { stop(): Promise<void> }>(starting: Promise<Server>) => {
    const server = await starting;
    running.push(server);
    return server;
  };
  try {
    const polylora = await started(setting.startPolylora());
    const contestants: Contestant[] = [
      { name: 'Polylora, base', target: polylora.base },
      { name: 'Polylora, adapters', target: polylora.adapters },
    ];
    for (const kind of ['base', 'adapters'] as const) {
      const adapters = kind === 'adapters';
      const llama = await started(setting.startLlama({ clients, adapters }));
      contestants.push({ name: `llama-server Q4_0, ${kind}`, target: llama });
      if (vllm === null) continue;
      const target = await started(startVllm(vllm, setting, { clients, adapters }));
      contestants.push({ name: `vLLM ${vllm.dtype}, ${kind}`, target });
    }
    return {
      clients,
      contestants: await compareOverHttp(contestants, loadOf(clients, PEER_WORKLOAD), rounds),
    };
  } finally {
    await Promise.all(running.map((server) => server.stop()));
  }
}
