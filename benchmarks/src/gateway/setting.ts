import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, untilReady } from '../http/server-process.ts';
import { ROOT } from '../paths.ts';
import { LoadGenerator, type LoadTarget, startPassThrough, startStub } from './load.ts';

const CLI = join(ROOT, 'gateway', 'dist', 'cli.js');
const START_TIMEOUT_MS = 60_000;
const PATH = '/v1/chat/completions';
const OPERATOR_KEY = 'operator-key-of-the-benchmarks';
/** Never reached, and counted all the same. */
const LIMITS = {
  requests_per_minute: 1e9,
  tokens_per_minute: 1e12,
  concurrent_requests: 1e6,
  budgets: { month: { tokens: 1e15, money: 1e6 } },
};

/** A gateway of its own, which may be stopped before the others. */
interface StartedGateway extends LoadTarget {
  readonly pid: number;
  stop(): Promise<void>;
}

/** The stub, the load generator, and the gateway between them. */
export interface GatewaySetting {
  readonly generator: LoadGenerator;
  readonly stubUrl: string;
  readonly direct: LoadTarget;
  /** Through the least that a gateway could be. */
  readonly passThrough: LoadTarget;
  readonly gateway: LoadTarget;
  /** Starts another gateway like it. @param nodeFlags of its process */
  startGateway(nodeFlags: readonly string[]): Promise<StartedGateway>;
}

/**
 * Everything that a customer's request passes is on: a key, limits and budgets of the key and of its tenant, a price, metrics,
 * and a line of the log for each request in a file.
 */
export async function withGatewaySetting<T>(work: (setting: GatewaySetting) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-gateway-'));
  const stops: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const stub = await startStub();
    stops.push(stub.stop);
    const passThrough = await startPassThrough(stub.url);
    stops.push(passThrough.stop);
    const generator = new LoadGenerator();
    stops.push(() => generator.stop());
    let gateways = 0;
    const startGateway = async (nodeFlags: readonly string[]): Promise<StartedGateway> => {
      const home = join(folder, String(gateways++));
      mkdirSync(home);
      const flags = ['--upstream', stub.url, '--home', home, '--max-queued', '20000'];
      const server = await launch(process.execPath, [...nodeFlags, CLI, 'serve', ...flags], {
        env: { POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_AUTH: 'keys', POLYLORA_LOG_LEVEL: 'info' },
        logFile: join(home, 'gateway.log'),
      });
      const { stop } = server;
      stops.push(stop);
      await untilReady(server, '/readyz', START_TIMEOUT_MS);
      const headers = { authorization: `Bearer ${await customerKey(server.url)}` };
      return { url: server.url, path: PATH, headers, fields: {}, pid: server.child.pid ?? Number.NaN, stop };
    };
    // For a profile of the gateway: `--cpu-prof --cpu-prof-dir=...`
    const gateway = await startGateway(process.env.POLYLORA_BENCH_NODE_FLAGS?.split(' ') ?? []);
    const { headers } = gateway;
    return await work({
      generator,
      stubUrl: stub.url,
      direct: { url: stub.url, path: PATH, headers: {}, fields: {} },
      passThrough: { url: passThrough.url, path: PATH, headers, fields: {} },
      gateway,
      startGateway,
    });
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function customerKey(url: string): Promise<string> {
  const admin = async (method: string, path: string, body: object) => {
    const response = await fetch(`${url}/admin/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as { key: string };
  };
  await admin('PUT', 'prices/*', { input: 0.2, output: 0.6 });
  await admin('POST', 'tenants', { id: 'customer', models: ['*'], limits: LIMITS });
  return (await admin('POST', 'keys', { tenant: 'customer', limits: LIMITS })).key;
}
