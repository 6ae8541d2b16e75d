import { join } from 'node:path';
import { ROOT } from '../paths.ts';
import { launch, type ServerProcess, untilReady } from './server-process.ts';

const START_TIMEOUT_MS = 300_000;

/**
 * Starts the built gateway and waits until it is ready. Its log goes to standard error. Without flags to the contrary no key is
 * asked for, every prompt is read and every token computed by itself: random prompts' answers repeat themselves, and no peer would
 * guess them.
 * @param nodeFlags of its process
 */
export async function startGateway(
  flags: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<ServerProcess> {
  const cli = join(ROOT, 'gateway', 'dist', 'cli.js');
  const gateway = await launch(process.execPath, [
    ...nodeFlags,
    cli,
    'serve',
    '--log-level',
    'warn',
    '--prefix-cache',
    'off',
    '--auth',
    'off',
    '--speculation',
    'off',
    ...flags,
  ]);
  await untilReady(gateway, '/readyz', START_TIMEOUT_MS);
  return gateway;
}
