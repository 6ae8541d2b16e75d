import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { SnapshotJson } from './live-json.ts';
import { LiveTerminal } from './live-terminal.ts';
import { screenLines, secondLine, titleLine } from './live-text.ts';

const NOW: SnapshotJson = {
  at: 1_795_000_000_000,
  ready: true,
  running: 12,
  waiting: 3,
  in_flight: 14,
  pages: { kv: 500, prefix: 250, adapter: 125, free: 125, total: 1000 },
  resident_adapters: 40,
  running_adapters: 7,
  rates: {
    requests: 12.4,
    errors: 0.5,
    prompt_tokens: 1204.3,
    generation_tokens: 231,
    cache_lookups: 8,
    cache_hits: 2,
  },
  first_token_ms: { p50: 41.2, p95: 120, p99: 12_345 },
  inter_token_ms: { p50: 3.14, p95: 8, p99: 9 },
  queue_ms: null,
  tenants: [
    { tenant: 'acme', sequences: 10, service: 1234.5, weight: 2 },
    { tenant: 'evil\u001b[2J\n', sequences: 2, service: null, weight: 1 },
  ],
};
const BEFORE = {
  ...NOW,
  at: NOW.at - 1000,
  rates: { ...NOW.rates, generation_tokens: 100 },
};
const ORIGIN = 'http://127.0.0.1:8080';

describe('the screen', () => {
  it('says everything there is', () => {
    expect(screenLines(NOW, [BEFORE, NOW], ORIGIN, { columns: 90, rows: 40 })).toEqual([
      'polylora top  http://127.0.0.1:8080   2026-11-18T11:06:40Z   ready',
      '',
      'sequences     12 running   3 waiting',
      'requests      12.4/s   0.5/s failed   14 in flight',
      'tokens        1,204/s read   231/s generated',
      'first token   half 41.2 ms   95 % 120 ms   99 % 12.3 s',
      'next token    half 3.1 ms   95 % 8 ms   99 % 9 ms',
      'in the queue  -',
      'cache         25 % of 8/s found',
      'adapters      40 in memory   7 running',
      `pages         [${'#'.repeat(30)}${'+'.repeat(15)}${'@'.repeat(8)}${'.'.repeat(7)}]`,
      '              # kv 500   + prefix 250   @ adapter 125   . free 125',
      '',
      'generated     ▄█',
      '              most: 231/s',
      '',
      'TENANT               SEQUENCES  SERVICE  WEIGHT',
      'acme                 10         1,235    2',
      'evil\\u001b[2J\\u000a  2          -        1',
    ]);
  });

  it('leaves out what a tenant’s administrator is not told, and says what is wrong', () => {
    const own = { ...NOW, ready: false, pages: null, resident_adapters: null, tenants: [] };
    const lines = screenLines(own, [own], ORIGIN, { columns: 90, rows: 40 }, 'Gone.\u001b');
    expect(lines.slice(0, 2)).toEqual([
      'polylora top  http://127.0.0.1:8080   2026-11-18T11:06:40Z   NOT CONNECTED',
      'Gone.\\u001b',
    ]);
    expect(screenLines(own, [own], ORIGIN, { columns: 90, rows: 40 })[0]).toMatch(/ {3}NOT READY$/);
    expect(lines.join('\n')).not.toMatch(/pages|adapters|TENANT/);
  });

  it.each([
    [20, 10],
    [40, 24],
    [1, 1],
    [200, 5],
  ])('keeps within %i columns and %i lines', (columns, rows) => {
    const lines = screenLines(NOW, [BEFORE, NOW], ORIGIN, { columns, rows });
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
  });

  it('goes on in the next line where a terminal is narrow', () => {
    const lines = screenLines(NOW, [NOW], ORIGIN, { columns: 40, rows: 40 });
    expect(lines.slice(lines.indexOf('requests      12.4/s   0.5/s failed'))[1]).toBe(
      '              14 in flight',
    );
  });
});

describe('a line of a second', () => {
  it('has its columns where the titles are', () => {
    expect(titleLine()).toBe(
      'TIME                  READY  RUNNING  WAITING  REQUESTS/S  ERRORS/S    READ/S  GENERATED/S  FIRST P95   NEXT P95  FREE PAGES',
    );
    expect(secondLine(NOW)).toBe(
      '2026-11-18T11:06:40Z    yes       12        3        12.4       0.5    1204.3          231     120 ms       8 ms        13 %',
    );
    expect(
      secondLine({ ...NOW, pages: null, first_token_ms: null }).endsWith('-       8 ms           -'),
    ).toBe(true);
  });
});

describe('a terminal', () => {
  function terminal(columns: number, rows: number) {
    let written = '';
    const listeners = new Set<() => void>();
    return {
      columns,
      rows,
      listeners,
      write(text: string) {
        written += text;
      },
      on: (_: 'resize', listener: () => void) => listeners.add(listener),
      off: (_: 'resize', listener: () => void) => listeners.delete(listener),
      taken() {
        const text = written;
        written = '';
        return text;
      },
    };
  }

  it('is drawn over in place, as wide as it is, and is as it was in the end', () => {
    const sink = terminal(100, 40);
    const listening = process.listenerCount('exit');
    const live = new LiveTerminal(sink, ORIGIN);
    expect(sink.taken()).toContain('\u001b[?1049h\u001b[?25l\u001b[HWaiting');
    live.begin([BEFORE]);
    live.show(NOW);
    const drawn = sink.taken();
    expect(drawn).toContain('231/s generated\u001b[K\r\n');
    expect(drawn.endsWith('\u001b[J')).toBe(true);
    live.say('The server ended the connection.');
    expect(sink.taken()).toContain('The server ended the connection.\u001b[K');
    sink.columns = 30;
    for (const resized of sink.listeners) resized();
    for (const line of sink.taken().split('\r\n'))
      expect(stripVTControlCharacters(line).length).toBeLessThan(30);
    live.end();
    expect(sink.taken()).toBe('\u001b[?25h\u001b[?1049l');
    expect(sink.listeners.size).toBe(0);
    expect(process.listenerCount('exit')).toBe(listening);
  });
});
