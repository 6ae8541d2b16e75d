import {
  type AdapterWeights,
  EngineError,
  type EngineProcess,
  errorEvent,
  type GenerationEvent,
} from '@polylora/engine';
import type { Backend, BackendEvent, BackendModel, BackendRequest, BackendStats } from './backend.ts';

/** An adapter under the name that clients call it by. */
export interface NamedAdapter extends AdapterWeights {
  readonly name: string;
  /** Unix time in seconds. */
  readonly createdAt: number;
}

export interface EmbeddedBackendOptions {
  readonly engine: EngineProcess;
  readonly adapters: readonly NamedAdapter[];
  /** The base model's name in the API. */
  readonly servedModelName: string;
  /** Unix time in seconds, given as the base model's `created`. */
  readonly startedAt: number;
  /** Told of an adapter that the engine cannot serve; the others go on. */
  readonly onRefused: (name: string, reason: string) => void;
}

/** The name that always means the base model. */
const BASE_ALIAS = 'base';

/** A model's entry together with what the engine calls it. */
interface Entry {
  readonly model: BackendModel;
  readonly digest: string | null;
}

/** The engine on this machine, with adapters under names. */
export class EmbeddedBackend implements Backend {
  readonly models: readonly BackendModel[];
  readonly #engine: EngineProcess;
  readonly #entries: ReadonlyMap<string, Entry>;
  /** A digest's names: the same weights may be served under several. */
  readonly #names = new Map<string, string[]>();

  private constructor(engine: EngineProcess, entries: readonly Entry[]) {
    this.#engine = engine;
    this.models = entries.map(({ model }) => model);
    const [base] = entries;
    this.#entries = new Map([
      ...(base === undefined ? [] : [[BASE_ALIAS, base] as const]),
      ...entries.map((entry) => [entry.model.id, entry] as const),
    ]);
    for (const { digest, model } of entries) {
      if (digest !== null) this.#names.set(digest, [...(this.#names.get(digest) ?? []), model.id]);
    }
  }

  /**
   * Makes the adapters known to the engine.
   * @throws EngineError where the engine is gone
   */
  static async start(options: EmbeddedBackendOptions): Promise<EmbeddedBackend> {
    const { engine, adapters, servedModelName, startedAt, onRefused } = options;
    const { digest, maxModelLen, vocabSize, name } = engine.model;
    const base: BackendModel = {
      id: servedModelName,
      parent: null,
      root: name,
      created: startedAt,
      maxModelLen,
      vocabSize,
      fingerprint: fingerprint(digest),
    };
    const entries: Entry[] = [{ model: base, digest: null }];
    for (const adapter of [...adapters].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      try {
        await engine.addAdapter(weightsOf(adapter));
      } catch (error) {
        if (!(error instanceof EngineError) || !engine.ready) throw error;
        onRefused(adapter.name, error.message);
        continue;
      }
      const model: BackendModel = {
        ...base,
        id: adapter.name,
        parent: servedModelName,
        root: adapter.digest,
        created: Math.floor(adapter.createdAt),
        fingerprint: fingerprint(digest, adapter.digest),
      };
      entries.push({ model, digest: adapter.digest });
    }
    return new EmbeddedBackend(engine, entries);
  }

  /** Names that no adapter can have. */
  static reservedNames(servedModelName: string): ReadonlySet<string> {
    return new Set([BASE_ALIAS, servedModelName]);
  }

  get ready(): boolean {
    return this.#engine.ready;
  }

  find(name: string): BackendModel | undefined {
    return this.#entries.get(name)?.model;
  }

  async *generate(
    model: BackendModel,
    request: BackendRequest,
    signal: AbortSignal,
  ): AsyncGenerator<BackendEvent> {
    const { id, prompt, sampling, scheduling } = request;
    const adapter = model.parent === null ? null : model.root;
    try {
      for await (const event of this.#engine.generate(
        { id, prompt, adapter, sampling, scheduling },
        signal,
      )) {
        yield event.type === 'start' ? await this.#started(event.promptTokenIds, request) : withoutIds(event);
      }
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      yield errorEvent(error);
    }
  }

  async stats(): Promise<BackendStats> {
    const stats = await this.#engine.stats();
    return {
      ...stats,
      restartsTotal: this.#engine.restarts,
      residentAdapters: this.#namesOf(stats.residentAdapters),
      runningAdapters: this.#namesOf(stats.runningAdapters),
      waitingAdapters: this.#namesOf(stats.waitingAdapters),
    };
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  async #started(promptTokenIds: readonly number[], { prompt, echo }: BackendRequest): Promise<BackendEvent> {
    const promptTokens = promptTokenIds.length;
    if (!echo) return { type: 'start', promptTokens, promptText: null };
    const promptText = prompt.kind === 'text' ? prompt.text : await this.#engine.detokenize(promptTokenIds);
    return { type: 'start', promptTokens, promptText };
  }

  #namesOf(digests: readonly string[]): string[] {
    return digests.flatMap((digest) => this.#names.get(digest) ?? []);
  }
}

function withoutIds(event: Exclude<GenerationEvent, { type: 'start' }>): BackendEvent {
  if (event.type !== 'delta') return event;
  const { type, text, tokenIds, logprobs } = event;
  return { type, text, tokens: tokenIds.length, logprobs };
}

/** OpenAI's `system_fingerprint`: short, and different for different weights. */
function fingerprint(...digests: readonly string[]): string {
  return `fp_${digests.map((digest) => digest.slice(0, 10)).join('_')}`;
}

/** An adapter as the engine knows it: names and dates are none of its business. */
function weightsOf({ digest, file, fileSize, fileModifiedMs, pairs }: NamedAdapter): AdapterWeights {
  return { digest, file, fileSize, fileModifiedMs, pairs };
}
