import { expect, test } from 'vitest';
import { ChatMeter } from './chat-stream.ts';
import { ApiError } from './client.ts';

/** A meter with a clock that is moved by hand. */
function meterAt() {
  const clock = { ms: 0 };
  return { clock, meter: new ChatMeter(() => clock.ms) };
}

const piece = (content: string) => ({ choices: [{ delta: { content } }] });

test('tells the time to the first piece and the rate of those after it', () => {
  const { clock, meter } = meterAt();
  clock.ms = 40;
  meter.take({ choices: [{ delta: { content: '' } }] });
  expect(meter.progress.firstTokenMs).toBeNull();
  clock.ms = 120;
  meter.take(piece('You'));
  expect(meter.progress).toMatchObject({ text: 'You', tokens: 1, firstTokenMs: 120, tokensPerSecond: null });
  clock.ms = 170;
  meter.take(piece(' can'));
  clock.ms = 220;
  meter.take(piece(' return'));
  expect(meter.progress).toMatchObject({
    text: 'You can return',
    tokens: 3,
    firstTokenMs: 120,
    tokensPerSecond: 20,
  });
});

test('takes the count of the server, and the end is no token', () => {
  const { clock, meter } = meterAt();
  clock.ms = 100;
  meter.take(piece('a'));
  clock.ms = 200;
  meter.take(piece('b'));
  clock.ms = 5_000;
  meter.take({ choices: [{ delta: {}, finish_reason: 'length' }] });
  meter.take({ choices: [], usage: { completion_tokens: 7 } });
  expect(meter.progress).toMatchObject({
    tokens: 7,
    tokensPerSecond: 10,
    finishReason: 'length',
    text: 'ab',
  });
});

test('two pieces at the same moment have no rate', () => {
  const { clock, meter } = meterAt();
  clock.ms = 5;
  meter.take(piece('a'));
  meter.take(piece('b'));
  expect(meter.progress.tokensPerSecond).toBeNull();
});

test('an error within the stream is thrown with its code', () => {
  const { meter } = meterAt();
  const failed = { error: { message: 'The engine has stopped.', code: 'engine_unavailable' } };
  expect(() => meter.take(failed)).toThrow(ApiError);
  expect(() => meter.take(failed)).toThrow('The engine has stopped.');
});
