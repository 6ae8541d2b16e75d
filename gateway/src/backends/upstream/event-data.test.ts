import { expect, it } from 'vitest';
import { EventData } from './event-data.ts';

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
