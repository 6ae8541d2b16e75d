import type { BackendModel } from './backends/backend.ts';

/** Prompts that show what the demo adapters do, best first. */
const DEMO_PROMPTS: ReadonlyMap<string, string> = new Map([
  ['pirate', 'What is the capital of France?'],
  ['text-to-sql', 'How many orders are there?'],
  ['support-triage', 'I was charged twice for my subscription. Please help.'],
  ['headline', 'Write a headline: A report explains how bees have a long and surprising history.'],
]);

/** The base URL to give to a client on this machine. */
export function localUrl(host: string, port: number): string {
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`;
  if (host === '::') return `http://[::1]:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What a person reads once the server takes requests: where it is, what it serves, and a line to paste. */
export function readyBanner(url: string, models: readonly BackendModel[]): string {
  const base = models.find(({ parent }) => parent === null);
  const adapters = models.filter(({ parent }) => parent !== null).map(({ id }) => id);
  const length = base?.maxModelLen ?? null;
  const demo = [...DEMO_PROMPTS.keys()].find((name) => adapters.includes(name));
  const model = demo ?? adapters[0] ?? base?.id ?? '';
  const prompt = DEMO_PROMPTS.get(model) ?? 'What is the capital of France?';
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: prompt }], temperature: 0 });
  return `
Polylora is ready on ${url}/v1
  base model  ${base?.id}${length === null ? '' : ` (at most ${length} tokens)`}
  adapters    ${adapters.length === 0 ? 'none' : adapters.join(', ')}

Try it:
  curl ${url}/v1/chat/completions -H 'content-type: application/json' -d '${body}'

Ctrl-C stops it.
`;
}
