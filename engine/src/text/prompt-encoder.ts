import type { Tokenizer } from '@polylora/engine-native';
import { type ChatMessage, EngineError, type ModelInfo, type Prompt, type Tool } from '../types.ts';
import { ChatTemplate, type SpecialTexts } from './chat-template.ts';
import { ControlTokens, type Span } from './control-tokens.ts';
import { Disguise } from './disguise.ts';

/** What of a prepared model concerns its prompts. */
export interface PromptModel extends SpecialTexts {
  readonly info: Pick<ModelInfo, 'vocabSize'>;
  readonly chatTemplate: string | null;
}

/** Turns prompts into token ids, exactly as transformers does for a chat without control tokens in its text. */
export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #model: PromptModel;
  readonly #control: ControlTokens;
  #template: ChatTemplate | null = null;

  constructor(tokenizer: Tokenizer, model: PromptModel) {
    this.#tokenizer = tokenizer;
    this.#model = model;
    this.#control = new ControlTokens(tokenizer);
  }

  /**
   * @throws EngineError `invalid_prompt` where the prompt is empty, holds an id that is no token, or is refused
   * by the chat template; `invalid_chat_template` where the template itself is at fault.
   */
  encode(prompt: Prompt): Uint32Array {
    const ids = this.tokenize(prompt);
    if (ids.length === 0) {
      throw new EngineError('invalid_prompt', 'The prompt has no tokens; it needs at least one.');
    }
    return ids;
  }

  /** Tokens that are not text: they mean something else, or are left out of it. In ascending order. */
  get controlTokenIds(): number[] {
    const tokens = this.#tokenizer.controlTokens();
    return tokens.flatMap(({ id, special }) => (special || this.#control.ids.has(id) ? [id] : []));
  }

  /** As `encode`, but it may have no tokens. */
  tokenize(prompt: Prompt): Uint32Array {
    switch (prompt.kind) {
      case 'tokens':
        return this.#checkIds(prompt.ids);
      case 'text':
        // The caller's own text, all of it: control tokens written in it are meant.
        return this.#tokenizer.encode(prompt.text, prompt.specialTokens ?? true);
      case 'chat':
        return this.#encodeChat(prompt.messages, prompt.tools?.tools ?? []);
    }
  }

  /** How many tokens the prompt has at least. Takes no time, so that a huge text can be refused unread. */
  leastTokens(prompt: Prompt): number {
    if (prompt.kind === 'tokens') return prompt.ids.length;
    const texts = prompt.kind === 'text' ? [prompt.text] : prompt.messages.map(({ content }) => content);
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const ofTexts = Math.ceil(bytes / this.#tokenizer.longestTokenBytes);
    // A message is a token at least, however little it says: to render tens of thousands takes seconds.
    return prompt.kind === 'text' ? ofTexts : Math.max(ofTexts, prompt.messages.length);
  }

  #checkIds(ids: readonly number[]): Uint32Array {
    const { vocabSize } = this.#model.info;
    for (const [index, id] of ids.entries()) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new EngineError(
          'invalid_prompt',
          `Token ${index} of the prompt is ${id}; token ids are integers from 0 to ${vocabSize - 1}.`,
        );
      }
    }
    return Uint32Array.from(ids);
  }

  /**
   * Text of a control token in a message never becomes that token. What might is disguised while the template
   * renders; where it then stands in such a token's text, the text is cut there and encoded in pieces.
   */
  #encodeChat(messages: readonly ChatMessage[], tools: readonly Tool[]): Uint32Array {
    if (messages.length === 0) {
      throw new EngineError('invalid_prompt', 'The chat has no messages; it needs at least one.');
    }
    const template = this.#chatTemplate();
    const suspects = new Map<string, Span[]>();
    const texts = [...messages.flatMap(callerTexts), ...tools.flatMap(stringsOf)];
    for (const text of texts) {
      const parts = this.#control.findParts(text);
      if (parts.length > 0) suspects.set(text, parts);
    }
    if (suspects.size === 0) return this.#encodePiece(template.render(messages, tools));

    const { chatTemplate, bosToken, eosToken } = this.#model;
    const disguise = new Disguise([
      ...texts,
      ...[chatTemplate, bosToken, eosToken].filter((text) => text !== null),
    ]);
    const hide = (text: string) => disguise.hide(text, suspects.get(text) ?? []);
    const hidden = messages.map((message) => rewritten(message, hide));
    const hiddenTools = tools.map((tool) => rewritten(tool, hide));
    const { text, places } = disguise.reveal(template.render(hidden, hiddenTools));
    return concat(this.#cut(text, places).map((piece) => this.#encodePiece(piece)));
  }

  #chatTemplate(): ChatTemplate {
    const { chatTemplate } = this.#model;
    if (chatTemplate === null) {
      throw new EngineError(
        'invalid_prompt',
        'This model has no chat template; send the whole prompt as text to /v1/completions.',
      );
    }
    this.#template ??= new ChatTemplate(chatTemplate, this.#model);
    return this.#template;
  }

  /** Cuts the text within every control token of which a character is the caller's, beside that character. */
  #cut(text: string, callers: ReadonlySet<number>): string[] {
    const cuts = new Set<number>();
    for (const { start, end } of this.#control.findAll(text)) {
      for (let at = start; at < end; at++) {
        if (!callers.has(at)) continue;
        // Not within a token of the template's own: it ends before the caller's first character.
        cuts.add(at > start ? at : start + String.fromCodePoint(text.codePointAt(start)!).length);
        break;
      }
    }
    const pieces: string[] = [];
    let from = 0;
    for (const cut of [...cuts].sort((a, b) => a - b)) {
      pieces.push(text.slice(from, cut));
      from = cut;
    }
    pieces.push(text.slice(from));
    return pieces;
  }

  /** Token ids of a text in which every control token that is written out is meant, and no other. */
  #encodePiece(piece: string): Uint32Array {
    const ids = this.#tokenizer.encode(piece, false);
    const meant = this.#control.find(piece);
    if (this.#countControl(ids) <= meant.length) return ids;
    // A normalizer made a control token of other characters, which single characters cannot become.
    const apart = this.#encodeApart(piece, meant);
    return this.#countControl(apart) < this.#countControl(ids) ? apart : ids;
  }

  #encodeApart(piece: string, meant: readonly Span[]): Uint32Array {
    const parts: string[] = [];
    let from = 0;
    for (const { start, end } of meant) {
      parts.push(...piece.slice(from, start), piece.slice(start, end));
      from = end;
    }
    parts.push(...piece.slice(from));
    return concat(parts.map((part) => this.#tokenizer.encode(part, false)));
  }

  #countControl(ids: Uint32Array): number {
    let count = 0;
    for (const id of ids) if (this.#control.ids.has(id)) count++;
    return count;
  }
}

/** The strings of a message that its sender chose. */
function callerTexts({ role: _, ...chosen }: ChatMessage): string[] {
  return stringsOf(chosen);
}

/** All strings in a value, names of fields too. */
function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(stringsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...stringsOf(inner)]);
}

/** A message or a tool with all of its sender's strings changed; the names of fields of ours stay as they are. */
function rewritten<T extends object>(value: T, change: (text: string) => string): T {
  const deep = (inner: unknown): unknown => {
    if (typeof inner === 'string') return change(inner);
    if (Array.isArray(inner)) return inner.map(deep);
    if (typeof inner !== 'object' || inner === null) return inner;
    return Object.fromEntries(Object.entries(inner).map(([key, each]) => [change(key), deep(each)]));
  };
  const fields = Object.entries(value).map(([key, inner]) => {
    if (key === 'role') return [key, inner];
    // Calls are our own objects with a sender's strings in them.
    return [
      key,
      key === 'toolCalls' ? (inner as readonly object[]).map((call) => rewritten(call, change)) : deep(inner),
    ];
  });
  return Object.fromEntries(fields) as T;
}

function concat(parts: readonly Uint32Array[]): Uint32Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
