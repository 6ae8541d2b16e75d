import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Gateway, oracleModel, startGateway } from '../support/gateway.ts';
import { OPERATOR_KEY } from '../support/operator-key.ts';

/** The real server with the real model, and what an operator can do with it. */
export interface ConformanceServer {
  readonly baseUrl: string;
  /** Makes a key with these limits. */
  key(limits?: object): Promise<string>;
  /** Requests for chats that were answered with a status so far. */
  answered(status: number): Promise<number>;
  /** Sequences that run. */
  running(): Promise<number>;
  stop(): Promise<void>;
}

export async function startConformanceServer(): Promise<ConformanceServer> {
  const home = await mkdtemp(join(tmpdir(), 'polylora-conformance-'));
  const env = { POLYLORA_OPERATOR_KEY: OPERATOR_KEY, POLYLORA_SECRET_KEY: '5'.repeat(64) };
  const args = [...(await oracleModel()), '--data-directory', join(home, 'data')];
  const gateway: Gateway = await startGateway({ auth: 'keys', args, env });
  const operator = { authorization: `Bearer ${OPERATOR_KEY}` };
  const metric = async (start: string) => {
    const response = await fetch(`${gateway.url}/metrics`, { headers: operator });
    const line = (await response.text()).split('\n').find((each) => each.startsWith(start));
    return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
  };
  const admin = async (path: string, body: object) => {
    const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
      method: 'POST',
      headers: { ...operator, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as { key: string };
  };
  await admin('tenants', { id: 'conformance', models: ['*'] });
  return {
    baseUrl: `${gateway.url}/v1`,
    key: async (limits = {}) => (await admin('keys', { tenant: 'conformance', limits })).key,
    answered: (status) =>
      metric(`polylora_http_requests_total{route="/v1/chat/completions",method="POST",status="${status}"}`),
    running: () => metric('vllm:num_requests_running'),
    async stop() {
      await gateway.stop();
      await rm(home, { recursive: true });
    },
  };
}
