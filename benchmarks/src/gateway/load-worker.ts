/** A process that puts loads on servers, one after the other, as its parent asks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../statistics.ts';
import { Connection } from './connection.ts';
import type { ClosedLoad, LoadRequest, LoadResult, OpenLoad, StreamLoad, StreamResult } from './load.ts';
import { chatBody, postBytes } from './request.ts';

process.on('message', (request: LoadRequest) => {
  measure(request).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
  );
});

function measure(request: LoadRequest): Promise<LoadResult | StreamResult> {
  switch (request.kind) {
    case 'closed':
      return closed(request);
    case 'open':
      return open(request);
    case 'streams':
      return streams(request);
  }
}

/** Each connection sends its next request when its last is answered. */
async function closed({ target, connections, warmUpSeconds, seconds }: ClosedLoad): Promise<LoadResult> {
  const url = new URL(target.url);
  const request = postBytes(url, target.path, target.headers, chatBody(target.fields));
  const began = performance.now() + warmUpSeconds * 1000;
  const end = began + seconds * 1000;
  const tally = new Tally();
  const all: Connection[] = [];
  try {
    await Promise.all(
      Array.from(
        { length: connections },
        () =>
          new Promise<void>((resolve, reject) => {
            const connection = new Connection(url, reject);
            all.push(connection);
            const next = () => {
              const sentAt = performance.now();
              if (sentAt >= end) return resolve();
              connection.send(request, {
                onPiece: () => {},
                onEnd: (status) => {
                  const now = performance.now();
                  if (now >= began && now < end) tally.add(status, now - sentAt);
                  next();
                },
              });
            };
            next();
          }),
      ),
    );
  } finally {
    for (const connection of all) connection.close();
  }
  return tally.result(seconds);
}

/** Requests are sent when they are due, whatever became of those before. */
async function open({ target, perSecond, warmUpSeconds, seconds }: OpenLoad): Promise<LoadResult> {
  const url = new URL(target.url);
  const request = postBytes(url, target.path, target.headers, chatBody(target.fields));
  const tally = new Tally();
  const idle: Connection[] = [];
  const all: Connection[] = [];
  const beginning = performance.now();
  const began = beginning + warmUpSeconds * 1000;
  const total = Math.floor(perSecond * (warmUpSeconds + seconds));
  let broken: Error | null = null;
  let running = 0;
  const send = () => {
    let connection = idle.pop();
    if (connection === undefined || !connection.isUsable) {
      connection = new Connection(url, (error) => {
        broken ??= error;
      });
      all.push(connection);
    }
    const used = connection;
    const sentAt = performance.now();
    running++;
    used.send(request, {
      onPiece: () => {},
      onEnd: (status) => {
        running--;
        if (sentAt >= began) tally.add(status, performance.now() - sentAt);
        idle.push(used);
      },
    });
  };
  try {
    for (let sent = 0; sent < total && broken === null; ) {
      const due = Math.min(total, Math.ceil(((performance.now() - beginning) / 1000) * perSecond));
      for (; sent < due; sent++) send();
      await sleep(1);
    }
    while (running > 0 && broken === null) await sleep(1);
    if (broken !== null) throw broken;
  } finally {
    for (const connection of all) connection.close();
  }
  return tally.result(seconds);
}

const TOKEN = Buffer.from('"content":" token"');

/** Streams that all run at once: how late their tokens come. */
async function streams({ target, streams: count, tokens, perSecond }: StreamLoad): Promise<StreamResult> {
  const url = new URL(target.url);
  const fields = { ...target.fields, stream: true, max_tokens: tokens };
  const request = postBytes(url, target.path, target.headers, chatBody(fields));
  const all: Connection[] = [];
  const gaps: number[] = [];
  const rates: number[] = [];
  try {
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        // Not all in one moment: that would measure how fast connections are opened.
        await sleep((index / count) * 2_000);
        await new Promise<void>((resolve, reject) => {
          const connection = new Connection(url, reject);
          all.push(connection);
          const times: number[] = [];
          connection.send(request, {
            onPiece: (bytes) => {
              for (let at = bytes.indexOf(TOKEN); at >= 0; at = bytes.indexOf(TOKEN, at + 1))
                times.push(performance.now());
            },
            onEnd: (status) => {
              if (status !== 200 || times.length !== tokens) {
                reject(new Error(`a stream of ${times.length} tokens and not ${tokens}, status ${status}`));
                return;
              }
              const [first = 0] = times;
              const last = times.at(-1) ?? 0;
              rates.push((times.length - 1) / ((last - first) / 1000));
              for (const [token, at] of times.entries())
                if (token > 0) gaps.push(at - (times[token - 1] ?? 0));
              resolve();
            },
          });
        });
      }),
    );
  } finally {
    for (const connection of all) connection.close();
  }
  return {
    streams: count,
    keptUp: rates.filter((rate) => rate >= 0.95 * perSecond).length,
    slowest: Math.min(...rates),
    gapP50: percentile(gaps, 0.5),
    gapP99: percentile(gaps, 0.99),
  };
}

class Tally {
  readonly #milliseconds: number[] = [];
  readonly #others = new Map<number, number>();

  add(status: number, milliseconds: number): void {
    if (status === 200) this.#milliseconds.push(milliseconds);
    else this.#others.set(status, (this.#others.get(status) ?? 0) + 1);
  }

  result(seconds: number): LoadResult {
    if (this.#others.size > 0) {
      const others = [...this.#others].map(([status, count]) => `${count} × ${status}`);
      throw new Error(`not all answers were 200: ${others.join(', ')}`);
    }
    return {
      perSecond: this.#milliseconds.length / seconds,
      p50: percentile(this.#milliseconds, 0.5),
      p99: percentile(this.#milliseconds, 0.99),
    };
  }
}
