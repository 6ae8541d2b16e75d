/**
 * A process that stands for an engine behind a gateway: fixed answers at once, or streamed at a steady rate. It does as little
 * as can be done, because it shares the machine with what is measured.
 *
 * `node stub.js --port 0 --rate 20`: writes its port to standard output.
 */
import { createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { MODEL } from './request.ts';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, rate: { type: 'string', default: '20' } },
});
/** Streams are spread over so many moments of the time between two tokens. */
const SLOTS = 50;
const slotMilliseconds = 1000 / Number(values.rate) / SLOTS;

const HEAD = { id: 'chatcmpl-stub', created: 1_700_000_000, model: MODEL };
const TEXT = 'The capital of France is Paris, a city on the Seine.';
const USAGE = { prompt_tokens: 24, completion_tokens: 12, total_tokens: 36 };

const WHOLE = answer(
  'application/json',
  JSON.stringify({
    ...HEAD,
    object: 'chat.completion',
    choices: [
      { index: 0, message: { role: 'assistant', content: TEXT }, logprobs: null, finish_reason: 'stop' },
    ],
    usage: USAGE,
  }),
);
const MODELS = answer(
  'application/json',
  JSON.stringify({ object: 'list', data: [{ id: MODEL, object: 'model', created: 0, owned_by: 'stub' }] }),
);
const NOT_FOUND = Buffer.from('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
const STREAM_HEAD = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
);
const ROLE = event(chunk({ role: 'assistant', content: '' }, null));
const TOKEN = event(chunk({ content: ' token' }, null));
const LAST = Buffer.concat([
  event(chunk({}, 'length')),
  event({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE }),
  part('data: [DONE]\n\n'),
  Buffer.from('0\r\n\r\n'),
]);

interface Stream {
  readonly socket: Socket;
  left: number;
}

const slots: Set<Stream>[] = Array.from({ length: SLOTS }, () => new Set());
let nextSlot = 0;

const server = createServer({ noDelay: true }, (socket) => {
  let pending = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
    for (let length = requestLength(pending); length > 0; length = requestLength(pending)) {
      answerTo(pending.toString('latin1', 0, length), socket);
      pending = pending.subarray(length);
    }
  });
});
server.listen(Number(values.port), '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`);
});
beginTicking();

/** 0 where a request is not complete yet. */
function requestLength(bytes: Buffer): number {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return 0;
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, head))?.[1] ?? '0';
  const total = head + 4 + Number(length);
  return bytes.length < total ? 0 : total;
}

function answerTo(request: string, socket: Socket): void {
  if (request.startsWith('GET /v1/models')) socket.write(MODELS);
  else if (!request.startsWith('POST ') || !request.slice(0, 200).includes('/chat/completions '))
    socket.write(NOT_FOUND);
  else if (!/"stream": ?true/.test(request)) socket.write(WHOLE);
  else {
    const tokens = /"max_(?:completion_)?tokens": ?(\d+)/.exec(request)?.[1] ?? '16';
    socket.write(Buffer.concat([STREAM_HEAD, ROLE]));
    const stream = { socket, left: Number(tokens) };
    const slot = slots[nextSlot++ % SLOTS];
    slot?.add(stream);
    socket.once('close', () => slot?.delete(stream));
  }
}

function beginTicking(): void {
  const began = performance.now();
  let done = 0;
  setInterval(() => {
    const due = Math.floor((performance.now() - began) / slotMilliseconds);
    for (; done < due; done++) {
      const slot = slots[done % SLOTS];
      for (const stream of slot ?? []) {
        if (stream.left-- > 0) stream.socket.write(TOKEN);
        else {
          stream.socket.write(LAST);
          slot?.delete(stream);
        }
      }
    }
  }, 1);
}

function chunk(delta: object, finish: string | null): object {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  return { ...HEAD, object: 'chat.completion.chunk', choices };
}

function event(data: object): Buffer {
  return part(`data: ${JSON.stringify(data)}\n\n`);
}

/** In HTTP's chunked encoding. */
function part(text: string): Buffer {
  return Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`);
}

function answer(type: string, body: string): Buffer {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.from(head + body);
}
