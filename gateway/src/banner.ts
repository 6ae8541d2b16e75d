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

export interface BannerKeys {
  readonly checksKeys: boolean;
  /** Whether somebody can sign in to it. */
  readonly hasDashboard: boolean;
  /** The operator's key that was made at this start; null: none. */
  readonly firstKey: string | null;
}

/** What a person reads once the server takes requests: where it is, what it serves, and a line to paste. */
export function readyBanner(url: string, models: readonly BackendModel[], keys: BannerKeys): string {
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
  dashboard   ${keys.hasDashboard ? `${url}/admin` : 'off: it needs keys, or an operator key (POLYLORA_OPERATOR_KEY)'}
${firstKeyText(keys)}
Try it:
  curl ${url}/v1/chat/completions${keys.checksKeys ? ' -H "authorization: Bearer $OPENAI_API_KEY"' : ''} -H 'content-type: application/json' -d '${body}'

Ctrl-C stops it.
`;
}

function firstKeyText({ checksKeys, firstKey }: BannerKeys): string {
  if (!checksKeys) return '';
  if (firstKey === null) {
    return `
Requests need an API key, for example an operator's:
  export OPENAI_API_KEY=...         (lost? start the server with POLYLORA_OPERATOR_KEY=<a secret of yours>, which works too)
`;
  }
  return `
Your operator key, which is shown this once. It signs in to the dashboard, administers this server (polylora keys, polylora adapters) and asks its models:
  export OPENAI_API_KEY=${firstKey} POLYLORA_OPERATOR_KEY=${firstKey}
`;
}
