import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ServerEventReader } from './sse.ts';

/** All events of a text that comes in these pieces. */
function eventsOf(pieces: readonly string[]) {
  const reader = new ServerEventReader();
  return pieces.flatMap((piece) => reader.read(piece));
}

describe('ServerEventReader', () => {
  test('reads names, data of several lines and comments', () => {
    const text = ': hello\n\nevent: snapshot\ndata: {"a":\ndata: 1}\n\ndata:x\n\nid: 7\nretry: 5\ndata\n\n';
    expect(eventsOf([text])).toEqual([
      { event: 'snapshot', data: '{"a":\n1}' },
      { event: 'message', data: 'x' },
      { event: 'message', data: '' },
    ]);
  });

  test('an event without data is none, and its name is not the next one’s', () => {
    expect(eventsOf(['event: ping\n\ndata: x\n\n'])).toEqual([{ event: 'message', data: 'x' }]);
  });

  test('what is not ended is not there yet', () => {
    expect(eventsOf(['data: x\n'])).toEqual([]);
  });

  test('one space after the colon is not of the data', () => {
    expect(eventsOf(['data:  x\n\n'])).toEqual([{ event: 'message', data: ' x' }]);
  });

  test.each(['\n', '\r\n', '\r'])('lines end with %j, wherever the pieces are cut', (end) => {
    const lines = [': c', '', 'event: request', 'data: {"text":"ä"}', 'data: 2', '', 'data: [DONE]', '', ''];
    const text = `${lines.join(end)}data: z`;
    const whole = [
      { event: 'request', data: '{"text":"ä"}\n2' },
      { event: 'message', data: '[DONE]' },
    ];
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        const pieces = at.slice(1).map((cut, index) => text.slice(at[index], cut));
        expect(eventsOf(pieces)).toEqual(whole);
      }),
    );
  });
});
