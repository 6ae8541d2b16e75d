import { byteText } from './text.ts';

const BAR_WIDTH = 24;
/** Often enough to look smooth. */
const REDRAW_MILLISECONDS = 100;
/** Seldom enough for a log. */
const LINE_MILLISECONDS = 10_000;
/** Where a terminal does not say. */
const USUAL_COLUMNS = 80;
const ERASE_TO_END = '\u001b[K';

/** Where progress is shown: a terminal, or a log that keeps every line. */
export interface ProgressSink {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** What is said beside the bar. */
export interface ProgressWords {
  /** Before the first byte; the number of bytes follows. */
  readonly begins: string;
  readonly sent: string;
}

const SENDING: ProgressWords = { begins: 'Sending', sent: 'All sent. The server is checking it.' };

/** How far an upload or an import is: a bar on a terminal, a line now and then elsewhere. */
export class Progress {
  readonly #sink: ProgressSink;
  readonly #total: number;
  readonly #clock: () => number;
  readonly #startedAt: number;
  #shownAt: number;
  #bytes = 0;

  readonly #words: ProgressWords;

  /** @param clock milliseconds */
  constructor(
    sink: ProgressSink,
    totalBytes: number,
    clock: () => number = () => performance.now(),
    words: ProgressWords = SENDING,
  ) {
    this.#words = words;
    this.#sink = sink;
    this.#total = totalBytes;
    this.#clock = clock;
    this.#startedAt = clock();
    this.#shownAt = this.#startedAt;
    if (sink.isTTY) this.#draw();
    else sink.write(`${words.begins} ${byteText(totalBytes)}.\n`);
  }

  add(bytes: number): void {
    this.at(this.#bytes + bytes);
  }

  /** How much has come through: less than before where a connection broke. */
  at(bytes: number): void {
    this.#bytes = bytes;
    const now = this.#clock();
    const pause = this.#sink.isTTY ? REDRAW_MILLISECONDS : LINE_MILLISECONDS;
    if (now - this.#shownAt < pause) return;
    this.#shownAt = now;
    if (this.#sink.isTTY) this.#draw();
    else this.#sink.write(`${this.#text()}\n`);
  }

  /** Says something in between. */
  say(text: string): void {
    if (this.#sink.isTTY) this.#line(text);
    else this.#sink.write(`${text}\n`);
  }

  /** All is sent; what is left is the server's work. */
  sent(): void {
    this.say(this.#words.sent);
  }

  /** Takes the bar away, so that what comes next starts on a line of its own. */
  end(): void {
    if (this.#sink.isTTY) this.#line('');
  }

  #draw(): void {
    const filled = Math.round(BAR_WIDTH * this.#share());
    this.#line(`[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${this.#text()}`);
  }

  #line(text: string): void {
    // A line that wraps could not be drawn over.
    const width = Math.max(1, (this.#sink.columns || USUAL_COLUMNS) - 1);
    this.#sink.write(`\r${text.slice(0, width)}${ERASE_TO_END}`);
  }

  #text(): string {
    const percent = `${Math.floor(100 * this.#share())}`.padStart(3);
    const seconds = (this.#clock() - this.#startedAt) / 1000;
    const speed = this.#bytes > 0 && seconds > 0 ? `, ${byteText(Math.round(this.#bytes / seconds))}/s` : '';
    return `${percent} %  ${byteText(this.#bytes)} of ${byteText(this.#total)}${speed}`;
  }

  #share(): number {
    return this.#total === 0 ? 1 : Math.min(1, this.#bytes / this.#total);
  }
}
