/** Entry point of the engine process: one engine, spoken to over IPC. Ends when its parent does. */
import { createEngine } from '../create-engine.ts';
import { type Engine, errorEvent, type GenerationEvent, type GenerationRequest } from '../types.ts';
import type { CallName, Calls, Failure, FromEngine, ToEngine } from './messages.ts';

const aborts = new Map<string, AbortController>();
let engine: Engine | null = null;
let outbox: [string, GenerationEvent | null][] = [];

function send(message: FromEngine): void {
  // The callback keeps a closed channel from raising: without a parent, 'disconnect' ends this process.
  process.send?.(message, undefined, undefined, () => {});
}

function failure(error: unknown): Failure {
  const event = errorEvent(error);
  return { code: event.code, message: event.message, retryAfterSeconds: event.retryAfterSeconds };
}

/** All events of one step go out in one message. */
function post(id: string, event: GenerationEvent | null): void {
  if (outbox.length === 0) {
    setImmediate(() => {
      const events = outbox;
      outbox = [];
      send({ type: 'events', events });
    });
  }
  outbox.push([id, event]);
}

async function open(options: Extract<ToEngine, { type: 'open' }>['options']): Promise<void> {
  try {
    engine = await createEngine({ ...options, onProgress: (line) => send({ type: 'progress', line }) });
    send({ type: 'ready', model: engine.model });
  } catch (error) {
    send({ type: 'failed', failure: failure(error) });
  }
}

async function generate(request: GenerationRequest): Promise<void> {
  const abort = new AbortController();
  aborts.set(request.id, abort);
  for await (const event of engine!.generate(request, abort.signal)) post(request.id, event);
  aborts.delete(request.id);
  post(request.id, null);
}

function dispatch(name: CallName, args: unknown): Promise<unknown> {
  switch (name) {
    case 'addAdapter':
      return engine!.addAdapter(args as Calls['addAdapter']['args']);
    case 'removeAdapter':
      return engine!.removeAdapter(args as Calls['removeAdapter']['args']);
    case 'pinAdapter': {
      const { digest, pinned } = args as Calls['pinAdapter']['args'];
      return engine!.pinAdapter(digest, pinned);
    }
    case 'tokenize':
      return engine!.tokenize(args as Calls['tokenize']['args']);
    case 'detokenize':
      return engine!.detokenize(args as Calls['detokenize']['args']);
    case 'describeTokens':
      return engine!.describeTokens(args as Calls['describeTokens']['args']);
    case 'stats':
      return engine!.stats();
    case 'pageMap':
      return engine!.pageMap();
  }
}

async function call(id: number, name: CallName, args: unknown): Promise<void> {
  try {
    send({ type: 'result', id, value: await dispatch(name, args) });
  } catch (error) {
    send({ type: 'rejected', id, failure: failure(error) });
  }
}

process.on('message', (message: ToEngine) => {
  switch (message.type) {
    case 'open':
      return void open(message.options);
    case 'generate':
      return void generate(message.request);
    case 'abort':
      return aborts.get(message.id)?.abort();
    case 'call':
      return void call(message.id, message.name, message.args);
    case 'close':
      return process.disconnect();
  }
});
process.on('disconnect', () => process.exit(0));
// The parent decides when to stop: a Ctrl-C in the terminal reaches the whole group, and streams must finish.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
