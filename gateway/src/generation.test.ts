import { describe, expect, it } from 'vitest';
import type { BackendEvent } from './backends/backend.ts';
import { Cancellation } from './cancellation.ts';
import { ApiError } from './errors.ts';
import { type ChoiceEvent, mergeChoices } from './generation.ts';

function delta(text: string): BackendEvent {
  return { type: 'delta', text, tokens: 1, logprobs: null };
}

/** A source of deltas that records how far it was read and whether it was left. */
class Source {
  read = 0;
  left = false;
  readonly #events: readonly (BackendEvent | Promise<BackendEvent>)[];
  constructor(...events: (BackendEvent | Promise<BackendEvent>)[]) {
    this.#events = events;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<BackendEvent> {
    try {
      for (const event of this.#events) {
        this.read++;
        yield await event;
      }
    } finally {
      this.left = true;
    }
  }
}

const forever = new Promise<BackendEvent>(() => {});

function texts(events: readonly ChoiceEvent[], choice: number): string {
  return events
    .flatMap(({ choice: index, event }) => (index === choice && event.type === 'delta' ? [event.text] : []))
    .join('');
}

describe('mergeChoices', () => {
  it('gives every event of every source once, each source in its order', async () => {
    const sources = ['abc', '', 'defgh'].map((text) => new Source(...[...text].map(delta)));
    const events: ChoiceEvent[] = [];
    for await (const event of mergeChoices(sources, new Cancellation())) events.push(event);
    expect(events).toHaveLength(8);
    expect([0, 1, 2].map((choice) => texts(events, choice))).toEqual(['abc', '', 'defgh']);
  });

  it('does not let a source that waits hold up another', async () => {
    const merged = mergeChoices(
      [new Source(forever), new Source(delta('a'), delta('b'))],
      new Cancellation(),
    );
    expect([(await merged.next()).value, (await merged.next()).value]).toMatchObject([
      { choice: 1 },
      { choice: 1 },
    ]);
  });

  it('reads at most one event ahead of a slow consumer', async () => {
    const source = new Source(...[...'abcdefgh'].map(delta));
    const merged = mergeChoices([source], new Cancellation());
    await merged.next();
    await new Promise(setImmediate);
    expect(source.read).toBeLessThanOrEqual(2);
  });

  it('throws a failure of one source and leaves the others', async () => {
    const failing = new Source({
      type: 'error',
      code: 'numerical_error',
      message: 'NaN in layer 3',
      retryAfterSeconds: null,
    });
    const other = new Source(delta('a'), delta('b'));
    const merged = mergeChoices([other, failing], new Cancellation());
    await expect(async () => {
      for await (const _ of merged);
    }).rejects.toMatchObject({ code: 'numerical_error', message: 'NaN in layer 3' });
    await new Promise(setImmediate);
    expect(other.left).toBe(true);
  });

  it('throws the reason of a cancellation at once, even while all sources wait', async () => {
    const cancellation = new Cancellation();
    const next = mergeChoices([new Source(forever)], cancellation).next();
    await new Promise(setImmediate);
    cancellation.cancel(new ApiError('shutting_down', 'stop'));
    await expect(next).rejects.toMatchObject({ code: 'shutting_down' });
  });

  it('reports a sequence that the backend aborted by itself', async () => {
    const usage = { promptTokens: 1, completionTokens: 0, cachedPromptTokens: 0 };
    const source = new Source({ type: 'finish', reason: 'abort', stopReason: null, usage, queuedSeconds: 0 });
    await expect(mergeChoices([source], new Cancellation()).next()).rejects.toMatchObject({
      code: 'engine_unavailable',
    });
  });
});
