/** A streamed completion as its client saw it; times in milliseconds on this process's clock. */
export interface StreamedCompletion {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly startedAt: number;
  readonly firstTokenAt: number;
  readonly endedAt: number;
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly unknown[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

/**
 * Asks `/v1/completions` for a stream and reads it to its end.
 * @throws Error with the server's own words when it refuses or the stream fails.
 */
export async function streamCompletion(
  url: string,
  body: Readonly<Record<string, unknown>>,
): Promise<StreamedCompletion> {
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  if (!response.ok || response.body === null) throw new Error(`${response.status}: ${await response.text()}`);
  let firstTokenAt: number | null = null;
  let usage: Chunk['usage'] = null;
  for await (const chunk of events(response.body)) {
    if (chunk.error !== undefined) throw new Error(chunk.error.message);
    if ((chunk.choices?.length ?? 0) > 0) firstTokenAt ??= performance.now();
    usage = chunk.usage ?? usage;
  }
  if (firstTokenAt === null || !usage)
    throw new Error('the stream ended without a token or without its usage');
  return {
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    startedAt,
    firstTokenAt,
    endedAt: performance.now(),
  };
}

/** The events of a server-sent stream, up to `[DONE]`. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const bytes of body) {
    pending += decoder.decode(bytes, { stream: true });
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const data = line.slice('data: '.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data) as Chunk;
    }
  }
}
