import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Cancellation } from '../../cancellation.ts';
import type { BackendModel } from '../backend.ts';
import { UpstreamBroken } from './failure.ts';
import type { UpstreamHttp } from './http.ts';

/** How often the upstream is asked what it serves, which also tells whether it is there. */
const LOOK_MILLISECONDS = 5_000;
const LOOK_WHILE_AWAY_MILLISECONDS = 500;
const ANSWER_MILLISECONDS = 5_000;
/** Names that are not known are looked for anew no more often. */
const MISS_MILLISECONDS = 1_000;
/** Where the upstream does not tell how many tokens it knows, it is its own affair to refuse one. */
const ANY_TOKEN = 2 ** 31;
/** As many as can be listed anyway. */
const MOST_MODELS = 10_000;

/** OpenAI's list, with what vLLM, SGLang and llama.cpp's server add. */
const listSchema = z.object({
  data: z
    .array(
      z.object({
        id: z.string().min(1),
        created: z.number().nullish(),
        parent: z.string().nullish(),
        root: z.string().nullish(),
        max_model_len: z.number().nullish(),
        task: z.enum(['generate', 'embed']).nullish().catch(null),
        meta: z.object({ n_vocab: z.number().nullish(), n_ctx: z.number().nullish() }).nullish(),
      }),
    )
    .max(MOST_MODELS),
});

/** The upstream refuses this server's key. */
export class UpstreamKeyRefused extends Error {
  override readonly name = 'UpstreamKeyRefused';
  readonly code = 'upstream_key_refused';
}

/** What an upstream serves, as of a few seconds ago. */
export class UpstreamModels {
  readonly #http: UpstreamHttp;
  readonly #onChange: (isThere: boolean, reason: string | null) => void;
  readonly #startedAt: number;
  readonly #closed = new AbortController();
  #base: BackendModel | null = null;
  #byName: ReadonlyMap<string, BackendModel> = new Map();
  #isThere = false;
  #looking: Promise<void> | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param onChange told when the upstream comes and goes */
  constructor(http: UpstreamHttp, onChange: (isThere: boolean, reason: string | null) => void) {
    this.#http = http;
    this.#onChange = onChange;
    this.#startedAt = Math.floor(Date.now() / 1000);
  }

  get isThere(): boolean {
    return this.#isThere;
  }

  get base(): BackendModel | null {
    return this.#base;
  }

  /** The base model first, then the others in the order of their names. */
  list(): readonly BackendModel[] {
    return [...this.#byName.values()];
  }

  async find(name: string): Promise<BackendModel | null> {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    // It may have come a moment ago.
    if (performance.now() - this.#lookedAt > MISS_MILLISECONDS) await this.look().catch(() => {});
    return this.#byName.get(name) ?? null;
  }

  /** Resolves when the upstream has answered, however long that takes. @throws UpstreamKeyRefused */
  async untilThere(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      const problem = await this.look().catch((error: unknown) => error);
      if (problem instanceof UpstreamKeyRefused) throw problem;
      if (problem === undefined) return;
      await sleep(LOOK_WHILE_AWAY_MILLISECONDS, undefined, { signal }).catch(() => {});
    }
  }

  /** Looks from now on until `close`. */
  async watch(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await this.look().catch(() => {});
      const pause = this.#isThere ? LOOK_MILLISECONDS : LOOK_WHILE_AWAY_MILLISECONDS;
      await sleep(pause, undefined, { signal }).catch(() => {});
    }
  }

  /** Asks the upstream now; one question at a time. @throws where it does not answer as it should */
  look(): Promise<void> {
    this.#looking ??= this.#ask().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  close(): void {
    this.#closed.abort();
  }

  async #ask(): Promise<void> {
    try {
      const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(ANSWER_MILLISECONDS)]);
      const { status, body } = await this.#http.get('/v1/models', Cancellation.of(signal));
      if (status === 401 || status === 403) {
        throw new UpstreamKeyRefused(`The upstream refuses the key with status ${status}: set upstreamKey.`);
      }
      if (status !== 200) throw new UpstreamBroken(`/v1/models answered with status ${status}`);
      const { data } = listSchema.parse(JSON.parse(body.toString()));
      // As a Polylora answers while it starts.
      if (data.length === 0) throw new UpstreamBroken('/v1/models has no model');
      this.#take(data);
      this.#say(true, null);
    } catch (error) {
      if (!this.#closed.signal.aborted)
        this.#say(false, error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      this.#lookedAt = performance.now();
    }
  }

  #say(isThere: boolean, reason: string | null): void {
    if (this.#isThere === isThere) return;
    this.#isThere = isThere;
    this.#onChange(isThere, reason);
  }

  #take(data: z.infer<typeof listSchema>['data']): void {
    const lengths = new Map(data.map(({ id, max_model_len: length, meta }) => [id, length ?? meta?.n_ctx]));
    const models = data.map(
      ({ id, created, parent, root, max_model_len: length, task, meta }): BackendModel => {
        const isAdapter = typeof parent === 'string' && parent !== id;
        const source = root ?? id;
        return {
          id,
          parent: isAdapter ? parent : null,
          root: source,
          created: created ?? this.#startedAt,
          // vLLM tells the base model's alone, which its adapters share.
          maxModelLen: length ?? meta?.n_ctx ?? (isAdapter ? lengths.get(parent) : null) ?? null,
          vocabSize: meta?.n_vocab ?? ANY_TOKEN,
          mixture: null,
          task: task ?? 'generate',
          fingerprint: `fp_${hash('sha256', `${id} ${source}`, 'hex').slice(0, 10)}`,
        };
      },
    );
    const base = models.find(({ parent, task }) => parent === null && task === 'generate') ?? null;
    const others = models.filter((model) => model !== base).sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#base = base;
    this.#byName = new Map([...(base === null ? [] : [base]), ...others].map((model) => [model.id, model]));
  }
}
