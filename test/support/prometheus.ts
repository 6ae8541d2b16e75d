/** A real Prometheus, with the repository's own configuration and rules. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../benchmarks/src/http/free-port.ts';

/** Where Debian's package `prometheus` puts its programs. */
const PROMETHEUS = '/usr/bin/prometheus';
export const PROMTOOL = '/usr/bin/promtool';
const START_MILLISECONDS = 30_000;

/** Whether tests that need Prometheus can run; they are skipped else. */
export const HAS_PROMETHEUS = existsSync(PROMETHEUS) && existsSync(PROMTOOL);

/** What the repository has for Prometheus. */
export const PROMETHEUS_FILES = join(import.meta.dirname, '..', '..', 'dashboards', 'prometheus');

/** A copy of it that scrapes this server with this key; nothing else is changed. @param target host and port */
export function configuredFor(target: string, key: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'polylora-prometheus-'));
  cpSync(PROMETHEUS_FILES, directory, { recursive: true });
  writeFileSync(join(directory, 'targets', 'polylora.yml'), JSON.stringify([{ targets: [target] }]));
  writeFileSync(join(directory, 'metrics-token'), key);
  return directory;
}

export interface Prometheus {
  /** Asks its API. @param path below `/api/v1/` */
  ask<T>(path: string, parameters?: Readonly<Record<string, string>>): Promise<T>;
  stop(): Promise<void>;
}

/** Starts one on a free port. @param directory of `configuredFor`; it goes when Prometheus is stopped */
export async function startPrometheus(directory: string): Promise<Prometheus> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = spawn(
    PROMETHEUS,
    [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
      '--log.level=warn',
    ],
    { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = once(server, 'close');
  const stop = async () => {
    server.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  const deadline = performance.now() + START_MILLISECONDS;
  while (!(await isReady(url))) {
    if (server.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`Prometheus does not start:\n${log}`);
    }
    await sleep(50);
  }
  return {
    async ask<T>(path: string, parameters = {}) {
      const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
      const answer = (await response.json()) as { status: string; error?: string; data: T };
      if (answer.status !== 'success')
        throw new Error(`${JSON.stringify(parameters)}: ${answer.error ?? response.status}`);
      return answer.data;
    },
    stop,
  };
}

const isReady = (url: string) =>
  fetch(`${url}/-/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
