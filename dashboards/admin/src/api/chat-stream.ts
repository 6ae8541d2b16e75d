/** A streamed chat completion, with its times as a client sees them. */
import { ApiError, request } from './client.ts';
import { ServerEventReader } from './sse.ts';

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: 'system' | 'user'; readonly content: string }[];
  readonly max_tokens: number;
  readonly temperature: number;
  readonly seed?: number;
  /** Whether the answer may be one that was given before. */
  readonly usesCache: boolean;
}

/** How far an answer is. */
export interface ChatProgress {
  readonly text: string;
  /** Tokens so far: pieces until the server has counted them. */
  readonly tokens: number;
  /** Milliseconds to the first piece; null before it. */
  readonly firstTokenMs: number | null;
  /** Of all but the first, which waits for the prompt; null before the second. */
  readonly tokensPerSecond: number | null;
  readonly finishReason: string | null;
  /** What the answer cache did; null where it says nothing. */
  readonly cache: string | null;
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string; readonly code?: string | null };
}

const EMPTY: ChatProgress = {
  text: '',
  tokens: 0,
  firstTokenMs: null,
  tokensPerSecond: null,
  finishReason: null,
  cache: null,
};

/**
 * Asks, and tells each piece as it comes.
 * @throws ApiError also for what fails after the first piece; AbortError when it is stopped
 */
export async function streamChat(
  { usesCache, ...asked }: ChatRequest,
  onProgress: (progress: ChatProgress) => void,
  signal: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<ChatProgress> {
  const begun = now();
  const body = {
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
    ...(usesCache ? {} : { cache: { 'no-cache': true, 'no-store': true } }),
  };
  const response = await request('POST', '/v1/chat/completions', { body, signal });
  const meter = new ChatMeter(() => now() - begun, response.headers.get('x-polylora-cache'));
  for await (const data of dataOf(response)) {
    if (data === '[DONE]') return meter.progress;
    meter.take(JSON.parse(data) as Chunk);
    onProgress(meter.progress);
  }
  throw new ApiError('The answer ended before it was whole: the connection or the server broke off.');
}

/** Counts an answer's pieces. Exported for tests. */
export class ChatMeter {
  progress: ChatProgress;
  readonly #elapsed: () => number;
  #isCounted = false;

  /** @param elapsed milliseconds since the request was sent */
  constructor(elapsed: () => number, cache: string | null = null) {
    this.#elapsed = elapsed;
    this.progress = { ...EMPTY, cache };
  }

  /** @throws ApiError for a piece that says that the answer failed */
  take({ choices, usage, error }: Chunk): void {
    if (error !== undefined) throw new ApiError(error.message, { code: error.code ?? 'stream' });
    const [choice] = choices ?? [];
    const piece = choice?.delta?.content ?? '';
    const { progress } = this;
    const elapsed = this.#elapsed();
    const firstTokenMs = progress.firstTokenMs ?? (piece === '' ? null : elapsed);
    if (usage != null) this.#isCounted = true;
    const tokens = usage?.completion_tokens ?? progress.tokens + (piece === '' || this.#isCounted ? 0 : 1);
    // What comes at the very end is no token, and the time until then is not one that a token took.
    const isMore = piece !== '' && tokens > 1 && firstTokenMs !== null && elapsed > firstTokenMs;
    this.progress = {
      ...progress,
      text: progress.text + piece,
      tokens,
      firstTokenMs,
      tokensPerSecond: isMore ? ((tokens - 1) * 1_000) / (elapsed - firstTokenMs) : progress.tokensPerSecond,
      finishReason: choice?.finish_reason ?? progress.finishReason,
    };
  }
}

async function* dataOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return;
  const events = new ServerEventReader();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const { data } of events.read(decoder.decode(value, { stream: true }))) yield data;
  }
}
