import type { SnapshotJson } from './live-json.ts';
import { screenLines, secondLine, titleLine } from './live-text.ts';
import { printable } from './text.ts';

const OTHER_SCREEN = '\u001b[?1049h';
const BACK = '\u001b[?1049l';
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const TOP_LEFT = '\u001b[H';
const ERASE_TO_LINE_END = '\u001b[K';
const ERASE_BELOW = '\u001b[J';
/** Where a terminal does not say how large it is. */
const USUAL = { columns: 80, rows: 24 };
/** Seconds that are kept to be drawn. */
const MOST_KEPT = 300;

/** Where live figures are shown. */
export interface LiveDisplay {
  /** Seconds before now, the oldest first. */
  begin(history: readonly SnapshotJson[]): void;
  show(now: SnapshotJson): void;
  /** Something is wrong, which the next snapshot ends. */
  say(problem: string): void;
  end(): void;
}

/** A terminal's part of `process.stdout`. */
export interface Terminal {
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** Draws over itself on a screen of its own, which is gone in the end, so that the terminal is as it was. */
export class LiveTerminal implements LiveDisplay {
  readonly #terminal: Terminal;
  readonly #origin: string;
  readonly #draw = () => this.#redraw();
  /** Should the process end otherwise. */
  readonly #restore = () => this.#terminal.write(SHOW_CURSOR + BACK);
  #history: SnapshotJson[] = [];
  #problem: string | null = null;

  constructor(terminal: Terminal, origin: string) {
    this.#terminal = terminal;
    this.#origin = origin;
    terminal.on('resize', this.#draw);
    process.once('exit', this.#restore);
    terminal.write(OTHER_SCREEN + HIDE_CURSOR);
    this.#write(['Waiting for the first second ...']);
  }

  begin(history: readonly SnapshotJson[]): void {
    this.#history = history.slice(-MOST_KEPT);
    this.#problem = null;
    this.#redraw();
  }

  show(now: SnapshotJson): void {
    this.#history.push(now);
    if (this.#history.length > MOST_KEPT) this.#history.shift();
    this.#problem = null;
    this.#redraw();
  }

  say(problem: string): void {
    this.#problem = problem;
    this.#redraw();
  }

  end(): void {
    this.#terminal.off('resize', this.#draw);
    process.off('exit', this.#restore);
    this.#restore();
  }

  #redraw(): void {
    const now = this.#history.at(-1);
    const { columns, rows } = this.#size;
    if (now !== undefined) {
      // The last column and line are left free: writing there may scroll.
      const size = { columns: columns - 1, rows: rows - 1 };
      this.#write(screenLines(now, this.#history, this.#origin, size, this.#problem));
    } else if (this.#problem !== null) {
      this.#write([printable(this.#problem).slice(0, columns - 1)]);
    }
  }

  #write(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}${ERASE_TO_LINE_END}\r\n`).join('');
    this.#terminal.write(TOP_LEFT + text + ERASE_BELOW);
  }

  get #size(): { readonly columns: number; readonly rows: number } {
    const { columns, rows } = this.#terminal;
    return { columns: columns || USUAL.columns, rows: rows || USUAL.rows };
  }
}

/** A line each second, where there is no terminal. */
export class LiveLines implements LiveDisplay {
  readonly #out: (line: string) => void;
  readonly #tell: (line: string) => void;

  /** @param tell takes what is wrong, which is no line of figures */
  constructor(out: (line: string) => void, tell: (line: string) => void) {
    this.#out = out;
    this.#tell = tell;
    out(titleLine());
  }

  begin(): void {}

  show(now: SnapshotJson): void {
    this.#out(secondLine(now));
  }

  say(problem: string): void {
    this.#tell(printable(problem));
  }

  end(): void {}
}

/** JSON of each second in a line. */
export class LiveJson implements LiveDisplay {
  readonly #out: (line: string) => void;
  readonly #tell: (line: string) => void;

  constructor(out: (line: string) => void, tell: (line: string) => void) {
    this.#out = out;
    this.#tell = tell;
  }

  begin(): void {}

  show(now: SnapshotJson): void {
    this.#out(JSON.stringify(now));
  }

  say(problem: string): void {
    this.#tell(printable(problem));
  }

  end(): void {}
}
