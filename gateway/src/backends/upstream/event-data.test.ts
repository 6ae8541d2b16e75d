import { expect, it } from 'vitest';
import { EventData } from './event-data.ts';
import { UpstreamBroken } from './failure.ts';

it('takes data out of events whatever pieces they come in, and a last line without an end', () => {
  const bytes = Buffer.from('data: {"a":"é"}\r\n\r\nevent: x\ndata:{"b":1}\n\ndata: [DONE]');
  for (const size of [1, 2, 3, 7, 1000]) {
    const events = new EventData();
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...events.feed(bytes.subarray(at, at + size)));
    expect(found).toEqual(['{"a":"é"}', '{"b":1}']);
    expect(events.end()).toEqual(['[DONE]']);
    expect(events.end()).toEqual([]);
  }
});

it('keeps no line without an end for ever', () => {
  const events = new EventData();
  const piece = Buffer.alloc(64 << 10, 'x');
  const endless = () => {
    for (let bytes = 0; bytes < 64 << 20; bytes += piece.length) events.feed(piece);
  };
  expect(endless).toThrow(UpstreamBroken);
});

it('takes a line of a megabyte, however small its pieces', () => {
  const events = new EventData();
  const line = Buffer.from(`data: ${'y'.repeat(1 << 20)}\n`);
  const found: string[] = [];
  for (let at = 0; at < line.length; at += 100) found.push(...events.feed(line.subarray(at, at + 100)));
  expect(found.map(({ length }) => length)).toEqual([1 << 20]);
});
