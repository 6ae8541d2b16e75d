/** Other gateways, outside the product: installed for the benchmark alone. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.ts';
import { launch, untilReady } from '../http/server-process.ts';
import { installStep } from '../peers/install-step.ts';
import type { LoadTarget } from './load.ts';
import { MODEL } from './request.ts';

const PORTKEY = '@portkey-ai/gateway@1.15.2';
/** Newer ones ask for packages that not every registry has; those of 1.107 were tampered with. */
const LITELLM = 'litellm[proxy]==1.98.0';
const LITELLM_KEY = 'sk-of-the-benchmark';
const START_TIMEOUT_MS = 180_000;
const PATH = '/v1/chat/completions';

/** A gateway that runs. */
export interface RunningPeer {
  readonly name: string;
  readonly target: LoadTarget;
  stop(): Promise<void>;
}

/** Portkey's gateway: it has no keys or limits of its own. @throws Error where it cannot be installed */
export async function startPortkey(stubUrl: string): Promise<RunningPeer> {
  const folder = await installStep('portkey', [PORTKEY], async (into) => {
    writeFileSync(join(into, 'package.json'), '{ "private": true }\n');
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts'];
    await run('npm', ['install', ...flags, PORTKEY], { cwd: into, logFile: join(into, 'install.log') });
  });
  const script = join(folder, 'node_modules', '@portkey-ai', 'gateway', 'build', 'start-server.js');
  // It takes its port in one word only, and ignores the other.
  const server = await launch(process.execPath, [script, '--headless'], {
    env: { NODE_ENV: 'production' },
    portFlag: (port) => [`--port=${port}`],
  });
  await untilReady(server, '/', START_TIMEOUT_MS);
  const headers = {
    authorization: `Bearer ${LITELLM_KEY}`,
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `${stubUrl}/v1`,
  };
  return {
    name: `Portkey (${PORTKEY})`,
    target: { url: server.url, path: PATH, headers, fields: {} },
    stop: server.stop,
  };
}

/** LiteLLM's proxy, one process as all of them, with a key and without a database. @throws Error where it cannot be installed */
export async function startLiteLlm(stubUrl: string): Promise<RunningPeer> {
  const folder = await installStep('litellm', [LITELLM], async (into) => {
    const logFile = join(into, 'install.log');
    await run('python3', ['-m', 'venv', '--clear', into], { logFile });
    const pip = [join(into, 'bin', 'python'), '-m', 'pip', '--disable-pip-version-check', 'install'] as const;
    await run(pip[0], [...pip.slice(1), '--only-binary', ':all:', LITELLM], { logFile });
  });
  const config = join(folder, `${new URL(stubUrl).port}.yaml`);
  if (!existsSync(config)) {
    const upstream = { model: `openai/${MODEL}`, api_base: `${stubUrl}/v1`, api_key: 'none' };
    writeFileSync(config, JSON.stringify({ model_list: [{ model_name: MODEL, litellm_params: upstream }] }));
  }
  const server = await launch(
    join(folder, 'bin', 'litellm'),
    ['--config', config, '--host', '127.0.0.1', '--num_workers', '1', '--telemetry', 'False'],
    { env: { LITELLM_MASTER_KEY: LITELLM_KEY, LITELLM_LOG: 'ERROR' }, logFile: join(folder, 'server.log') },
  );
  await untilReady(server, '/health/liveliness', START_TIMEOUT_MS);
  const headers = { authorization: `Bearer ${LITELLM_KEY}` };
  return {
    name: `LiteLLM (${LITELLM})`,
    target: { url: server.url, path: PATH, headers, fields: {} },
    stop: server.stop,
  };
}
