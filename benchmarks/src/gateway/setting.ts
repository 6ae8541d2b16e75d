import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, untilReady } from '../http/server-process.ts';
import { ROOT } from '../paths.ts';
import { LoadGenerator, type LoadTarget, startStub } from './load.ts';

const START_TIMEOUT_MS = 60_000;
const PATH = '/v1/chat/completions';

/** The stub, the load generator, and the gateway between them. */
export interface GatewaySetting {
  readonly generator: LoadGenerator;
  readonly stubUrl: string;
  readonly direct: LoadTarget;
  readonly gateway: LoadTarget;
}

/** Everything that a request passes is on, as for a customer: a key, limits, metrics, a log line for each request in a file. */
export async function withGatewaySetting<T>(work: (setting: GatewaySetting) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-gateway-'));
  const stops: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const stub = await startStub();
    stops.push(stub.stop);
    const generator = new LoadGenerator();
    stops.push(() => generator.stop());
    const cli = join(ROOT, 'gateway', 'dist', 'cli.js');
    const flags = ['serve', '--upstream', stub.url, '--home', folder, '--max-queued', '20000'];
    const profiled = process.env.POLYLORA_BENCH_NODE_FLAGS?.split(' ') ?? [];
    const server = await launch(process.execPath, [...profiled, cli, ...flags], {
      logFile: join(folder, 'gateway.log'),
    });
    stops.push(() => server.stop());
    await untilReady(server, '/readyz', START_TIMEOUT_MS);
    return await work({
      generator,
      stubUrl: stub.url,
      direct: { url: stub.url, path: PATH, headers: {}, fields: {} },
      gateway: {
        url: server.url,
        path: PATH,
        headers: { authorization: 'Bearer sk-of-the-benchmark' },
        fields: {},
      },
    });
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}
