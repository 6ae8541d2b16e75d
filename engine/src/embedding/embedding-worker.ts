/** Entry point of the embedding thread: one encoder, batches of what waits. */
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Tokenizer } from '@polylora/engine-native';
import { inLines } from '../model/progress.ts';
import type { Failure } from '../process/messages.ts';
import { EngineError, errorEvent } from '../types.ts';
import { BatchQueue, type WaitingInput } from './batch-queue.ts';
import { EncoderSession } from './encoder-session.ts';
import { EncoderText } from './encoder-text.ts';
import type { EmbedderOptions, FromWorker, ToWorker } from './messages.ts';
import { prepareEncoder } from './prepare-encoder.ts';
import type { Embedding, EmbedRequest, EncoderInfo } from './types.ts';

/** Three questions: more at once is a tenth faster, and keeps others waiting. */
const BATCH_TOKENS = 64;

/** As with OpenAI. */
const MOST_REQUEST_TOKENS = 300_000;

/** Tokenized in one go, before messages are looked at again. */
const TOKENIZED_TOGETHER = 64;

interface Pending {
  readonly request: EmbedRequest;
  readonly embeddings: Embedding[];
  left: number;
}

const port = parentPort!;
const pending = new Map<number, Pending>();
const queue = new BatchQueue(BATCH_TOKENS);

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function failure(error: unknown): Failure {
  const { code, message, retryAfterSeconds } = errorEvent(error);
  return { code, message, retryAfterSeconds };
}

async function open(options: EmbedderOptions): Promise<void> {
  const onProgress = inLines((line) => send({ type: 'progress', line }));
  const { model: source, home, hubToken, weights, threads, comparison } = options;
  const prepared = await prepareEncoder({ source, home, hubToken, weights, onProgress });
  const { name, digest, width, maxTokens, vocabSize } = prepared;
  const info: EncoderInfo = { name, digest, width, maxTokens, vocabSize };
  const text = new EncoderText(new Tokenizer(await readFile(prepared.tokenizerFile)), info);
  const session = await EncoderSession.open({ ...prepared, threads, comparison });
  serve(session, text);
  send({ type: 'ready', info });
}

function serve(session: EncoderSession, text: EncoderText): void {
  let running = false;
  let closed = false;
  const run = async () => {
    if (running) return;
    running = true;
    while (!queue.isEmpty && !closed) {
      runBatch(session, queue.take());
      // Others may have asked, or given up, meanwhile.
      if (!queue.isEmpty) await nextTurn();
    }
    running = false;
    if (closed) port.close();
  };
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'embed':
        return void accept(text, message.id, message.request).then(run);
      case 'cancel':
        queue.drop(message.id);
        pending.delete(message.id);
        return;
      case 'close':
        closed = true;
        return void run();
    }
  });
}

async function accept(text: EncoderText, id: number, request: EmbedRequest): Promise<void> {
  try {
    const inputs: WaitingInput[] = [];
    pending.set(id, { request, embeddings: [], left: request.inputs.length });
    for (const [index, input] of request.inputs.entries()) {
      inputs.push({ request: id, index, ids: text.ids(input, index, request.truncate) });
      if (index % TOKENIZED_TOGETHER === TOKENIZED_TOGETHER - 1) await nextTurn();
    }
    const tokens = inputs.reduce((sum, { ids }) => sum + ids.length, 0);
    if (tokens > MOST_REQUEST_TOKENS) {
      const message = `A request has at most ${MOST_REQUEST_TOKENS} tokens, and this one has ${tokens}; send its inputs in several.`;
      throw new EngineError('invalid_prompt', message);
    }
    // It may have been cancelled meanwhile.
    if (pending.has(id)) queue.add(id, inputs, request.background);
  } catch (error) {
    pending.delete(id);
    send({ type: 'rejected', id, failure: failure(error) });
  }
}

function runBatch(session: EncoderSession, batch: readonly WaitingInput[]): void {
  const started = performance.now();
  try {
    const requests = batch.map(({ request }) => pending.get(request)?.request);
    const encoded = session.run(
      batch.map(({ ids }) => ids),
      {
        states: requests.some((request) => request?.tokenStates === true),
        signatures: requests.some((request) => request?.signature === true),
      },
    );
    const seconds = (performance.now() - started) / 1000;
    const tokens = batch.reduce((sum, { ids }) => sum + ids.length, 0);
    send({ type: 'batch', inputs: batch.length, tokens, seconds });
    for (const [place, { request, index, ids }] of batch.entries()) {
      const waiting = pending.get(request);
      if (waiting === undefined) continue;
      const { vector, tokenStates, signature } = encoded[place]!;
      waiting.embeddings[index] = {
        vector,
        tokenIds: Uint32Array.from(ids),
        tokenStates: waiting.request.tokenStates ? tokenStates : null,
        signature: waiting.request.signature ? signature : null,
      };
      waiting.left -= 1;
      if (waiting.left === 0) finish(request, waiting);
    }
  } catch (error) {
    for (const id of new Set(batch.map(({ request }) => request))) {
      if (!pending.delete(id)) continue;
      queue.drop(id);
      send({ type: 'rejected', id, failure: failure(error) });
    }
  }
}

function finish(id: number, { embeddings }: Pending): void {
  pending.delete(id);
  const transfer = embeddings.flatMap(({ vector, tokenStates }) => [
    vector.buffer as ArrayBuffer,
    ...(tokenStates === null ? [] : [tokenStates.buffer as ArrayBuffer]),
  ]);
  send({ type: 'embedded', id, embeddings }, transfer);
}

open(workerData as EmbedderOptions).catch((error: unknown) => {
  send({ type: 'failed', failure: failure(error) });
  port.close();
});
