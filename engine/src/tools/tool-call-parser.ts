import type { ToolCallDelta } from '../types.ts';
import { JsonEnd } from './json-end.ts';
import type { ToolFormat } from './tool-format.ts';

/** A function's name with its call's id, in characters: names have 64 at most. */
const LONGEST_NAME = 200;

/** What a piece of an answer brought. */
export interface ParsedText {
  /** Text beside calls. */
  readonly text: string;
  readonly calls: readonly ToolCallDelta[];
}

type State =
  /** Text, perhaps up to where a call begins. */
  | { readonly kind: 'text' }
  /** Between calls, in what holds them; `raw` is what would be text if no call came. */
  | { readonly kind: 'between'; raw: string }
  /** The name of a call and what stands between it and the arguments. */
  | { readonly kind: 'name'; readonly raw: string }
  /** A call whose name and arguments' beginning are not there yet. */
  | { readonly kind: 'head'; raw: string; readonly end: JsonEnd; scanned: number }
  /** The arguments, given on as they come. */
  | { readonly kind: 'arguments'; readonly end: JsonEnd }
  /** After the arguments, up to the call's own end. */
  | { readonly kind: 'tail' }
  /** What looked like calls is none: all of it is text. */
  | { readonly kind: 'plain' };

/**
 * Reads the calls of tools out of an answer that comes in pieces. A call's arguments are given on as they come. What begins
 * like a call and is none stays text.
 */
export class ToolCallParser {
  readonly #format: ToolFormat;
  readonly #idOf: (index: number) => string;
  readonly #names: ReadonlySet<string>;
  readonly #head: RegExp;
  #state: State = { kind: 'text' };
  /** Not looked at yet. */
  #pending = '';
  #calls = 0;
  #texts: string[] = [];
  #deltas: ToolCallDelta[] = [];
  /** At the end of the text so far, not given yet. */
  #space = '';

  /** @param names of the tools: anything else that looks like a call is text */
  constructor(format: ToolFormat, names: readonly string[], idOf: (index: number) => string) {
    this.#format = format;
    this.#names = new Set(names);
    this.#idOf = idOf;
    this.#head =
      /^\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)/;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  push(text: string): ParsedText {
    this.#pending += text;
    while (this.#step(false));
    return this.#take();
  }

  /** The answer is over: gives what was held back. */
  flush(): ParsedText {
    while (this.#step(true));
    const state = this.#state;
    // One call that was cut off within its head may be anything; after others it is one more.
    if (state.kind === 'head' || state.kind === 'name' || state.kind === 'between') {
      if (this.#calls === 0) this.#say(state.raw + this.#pending);
    } else if (state.kind !== 'tail') {
      this.#say(this.#pending);
    }
    if (this.#calls === 0) this.#texts.push(this.#space);
    this.#pending = '';
    this.#space = '';
    this.#state = { kind: 'plain' };
    return this.#take();
  }

  #take(): ParsedText {
    const taken = { text: this.#texts.join(''), calls: this.#deltas };
    this.#texts = [];
    this.#deltas = [];
    return taken;
  }

  /** White space is given with what follows it: before a call it is no answer. */
  #say(text: string): void {
    const whole = this.#space + text;
    const given = whole.trimEnd();
    this.#space = whole.slice(given.length);
    if (given !== '') this.#texts.push(given);
  }

  /** @returns whether something was done, so that more may be */
  #step(atEnd: boolean): boolean {
    if (this.#pending === '') return false;
    const state = this.#state;
    switch (state.kind) {
      case 'plain':
        this.#say(this.#pending);
        this.#pending = '';
        return false;
      case 'text':
        return this.#readText(atEnd);
      case 'between':
        return this.#readBetween(state);
      case 'name':
        return this.#readName(state);
      case 'head':
        return this.#readHead(state);
      case 'arguments':
        return this.#readArguments(state);
      case 'tail':
        return this.#readTail();
    }
  }

  #readText(atEnd: boolean): boolean {
    const { begin, prefix } = this.#format;
    if (begin === '') {
      const start = this.#pending.search(/\S/);
      if (start < 0) return false;
      const first = this.#pending.slice(start);
      if (prefix !== '' && first.startsWith(prefix)) {
        this.#pending = first.slice(prefix.length);
        this.#state = { kind: 'between', raw: prefix };
        return true;
      }
      if (prefix.startsWith(first) && !atEnd) return false;
      this.#state = this.#pending[start] === '{' ? { kind: 'between', raw: '' } : { kind: 'plain' };
      return true;
    }
    const at = this.#pending.indexOf(begin);
    if (at >= 0) {
      this.#say(this.#pending.slice(0, at));
      this.#pending = this.#pending.slice(at + begin.length);
      const raw = begin;
      this.#state = this.#format.named === null ? { kind: 'between', raw } : { kind: 'name', raw };
      return true;
    }
    if (atEnd) return false;
    const held = heldBack(this.#pending, begin);
    if (held === this.#pending.length) return false;
    this.#say(this.#pending.slice(0, this.#pending.length - held));
    this.#pending = this.#pending.slice(this.#pending.length - held);
    return false;
  }

  /** Skips what may stand between calls, up to the next one's brace. */
  #readBetween(state: State & { kind: 'between' }): boolean {
    const { end } = this.#format;
    const skipped = /^[\s,;[\]]*/.exec(this.#pending)![0];
    if (skipped !== '') {
      state.raw += skipped;
      this.#pending = this.#pending.slice(skipped.length);
      return true;
    }
    if (this.#pending[0] === '{') {
      this.#state = { kind: 'head', raw: state.raw, end: new JsonEnd(), scanned: 0 };
      return true;
    }
    if (end !== '' && this.#pending.startsWith(end)) {
      this.#pending = this.#pending.slice(end.length);
      this.#state = { kind: 'text' };
      return true;
    }
    if (end !== '' && end.startsWith(this.#pending)) return false;
    // Neither a call nor the end.
    if (this.#calls === 0) this.#say(state.raw);
    this.#state = { kind: 'plain' };
    return true;
  }

  /** `name[ARGS]`, or `name[CALL_ID]id[ARGS]`, up to the arguments' brace. */
  #readName(state: State & { kind: 'name' }): boolean {
    const { idMarker, argumentsMarker } = this.#format.named!;
    const at = this.#pending.indexOf(argumentsMarker);
    if (at < 0) {
      // No name is longer, nor has a brace in it.
      return this.#pending.length > LONGEST_NAME || this.#pending.includes('{') ? this.#isNone(state) : false;
    }
    const head = this.#pending.slice(0, at);
    const idAt = idMarker === '' ? -1 : head.indexOf(idMarker);
    const name = (idAt < 0 ? head : head.slice(0, idAt)).trim();
    const given = this.#pending.slice(at + argumentsMarker.length).trimStart();
    if (given === '' && this.#names.has(name)) return false;
    if (given[0] !== '{' || !this.#names.has(name)) return this.#isNone(state);
    this.#begin(name);
    this.#pending = given;
    this.#state = { kind: 'arguments', end: new JsonEnd() };
    return true;
  }

  #readHead(state: State & { kind: 'head' }): boolean {
    const match = this.#head.exec(this.#pending);
    if (match !== null) {
      const name = readString(match[1]!);
      if (name === null || !this.#names.has(name)) return this.#isNone(state);
      this.#begin(name);
      this.#pending = this.#pending.slice(match[0].length);
      this.#state = { kind: 'arguments', end: new JsonEnd() };
      return true;
    }
    const ended = state.end.push(this.#pending.slice(state.scanned));
    if (ended === null) {
      state.scanned = this.#pending.length;
      return false;
    }
    // All of it is there, written in another order.
    const length = state.scanned + ended;
    const call = readCall(this.#pending.slice(0, length));
    if (call === null || !this.#names.has(call.name)) return this.#isNone(state);
    this.#begin(call.name);
    this.#give(call.arguments);
    this.#pending = this.#pending.slice(length);
    this.#close();
    return true;
  }

  #isNone(state: State & { kind: 'head' | 'name' }): boolean {
    this.#pending = state.raw + this.#pending;
    this.#state = { kind: 'plain' };
    return true;
  }

  #readArguments(state: State & { kind: 'arguments' }): boolean {
    const ended = state.end.push(this.#pending);
    if (ended === null) {
      this.#give(this.#pending);
      this.#pending = '';
      return false;
    }
    this.#give(this.#pending.slice(0, ended));
    this.#pending = this.#pending.slice(ended);
    this.#state = { kind: this.#format.named === null ? 'tail' : 'text' };
    return true;
  }

  #readTail(): boolean {
    const at = this.#pending.indexOf('}');
    if (at < 0) {
      this.#pending = '';
      return false;
    }
    this.#pending = this.#pending.slice(at + 1);
    this.#close();
    return true;
  }

  #begin(name: string): void {
    this.#space = '';
    const index = this.#calls++;
    this.#deltas.push({ index, id: this.#idOf(index), name, arguments: '' });
  }

  #give(text: string): void {
    if (text !== '') this.#deltas.push({ index: this.#calls - 1, id: null, name: null, arguments: text });
  }

  #close(): void {
    this.#state = { kind: 'between', raw: '' };
  }
}

/** How much of a text's end may be the beginning of `begin`. */
function heldBack(text: string, begin: string): number {
  for (let length = Math.min(begin.length - 1, text.length); length > 0; length--) {
    if (begin.startsWith(text.slice(-length))) return length;
  }
  return 0;
}

function readString(json: string): string | null {
  try {
    return JSON.parse(json) as string;
  } catch {
    return null;
  }
}

function readCall(json: string): { readonly name: string; readonly arguments: string } | null {
  try {
    const value = JSON.parse(json) as Readonly<Record<string, unknown>>;
    const { name, arguments: given = value.parameters ?? {} } = value;
    return typeof name === 'string' ? { name, arguments: JSON.stringify(given) } : null;
  } catch {
    return null;
  }
}
