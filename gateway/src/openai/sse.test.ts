import { describe, expect, it } from 'vitest';
import { ApiError } from '../errors.ts';
import { bodyOf, eventFrames } from './sse.ts';

async function* chunks(...items: (object | Error)[]): AsyncGenerator<object> {
  for (const item of items) {
    if (item instanceof Error) throw item;
    yield item;
  }
}

async function written(items: (object | Error)[], onFailure: (error: unknown) => void = () => {}) {
  const frames = eventFrames(chunks(...items), onFailure);
  return new Response(bodyOf(frames, () => {})).text();
}

describe('the event stream', () => {
  it('is one event for each chunk, and then [DONE]', async () => {
    expect(await written([{ a: 'line\nbreak' }, { b: 1 }])).toBe(
      'data: {"a":"line\\nbreak"}\n\ndata: {"b":1}\n\ndata: [DONE]\n\n',
    );
  });

  it('ends with an error event in place of [DONE] when it fails', async () => {
    const failures: unknown[] = [];
    const error = new ApiError('engine_unavailable', 'gone');
    const text = await written([{ a: 1 }, error], (failure) => failures.push(failure));
    expect(text).toBe(`data: {"a":1}\n\ndata: ${JSON.stringify(error.body())}\n\n`);
    expect(failures).toEqual([error]);
  });

  it('tells the client nothing of a fault of ours', async () => {
    expect(await written([new Error('/secret/path')])).not.toContain('secret');
  });

  it('makes a chunk only when the client takes one, and is left when the client leaves', async () => {
    let made = 0;
    let left = false;
    async function* endless() {
      try {
        for (;;) yield { made: made++ };
      } finally {
        left = true;
      }
    }
    let cancelled = false;
    const reader = bodyOf(
      eventFrames(endless(), () => {}),
      () => {
        cancelled = true;
      },
    ).getReader();
    await reader.read();
    await reader.read();
    await new Promise(setImmediate);
    expect(made).toBe(2);
    await reader.cancel();
    expect([cancelled, left]).toEqual([true, true]);
  });
});
