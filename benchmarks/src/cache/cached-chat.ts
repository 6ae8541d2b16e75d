/** What came of a chat that may be answered by the cache. */
export interface CachedChat {
  readonly status: number;
  /** `hit`, `miss` or `bypass`, and how it was found. */
  readonly state: string;
  readonly text: string;
  readonly milliseconds: number;
}

/** Asks a chat's only question of a gateway, greedily. */
export async function askCached(
  url: string,
  question: string,
  { maxTokens, category, headers = {} }: AskOptions,
): Promise<CachedChat> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(category === undefined ? {} : { 'x-polylora-cache-category': category }),
      ...headers,
    },
    body: JSON.stringify({
      model: 'base',
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      max_tokens: maxTokens,
    }),
  });
  const body = (await response.json()) as { choices?: { message: { content: string | null } }[] };
  return {
    status: response.status,
    state: response.headers.get('x-polylora-cache') ?? '',
    text: body.choices?.[0]?.message.content ?? '',
    milliseconds: performance.now() - started,
  };
}

interface AskOptions {
  readonly maxTokens: number;
  readonly category?: string;
  readonly headers?: Readonly<Record<string, string>>;
}
