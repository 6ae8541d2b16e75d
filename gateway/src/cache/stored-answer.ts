import type { ToolCall } from '@polylora/engine';
import type { ChoiceEvent } from '../generation.ts';
import { newId } from '../openai/ids.ts';
import type { StoredAnswer, StoredChoice } from './entry.ts';

interface Unfinished {
  text: string;
  readonly toolCalls: { id: string; name: string; arguments: string }[];
  finish: Pick<StoredChoice, 'reason' | 'stopReason' | 'usage'> | null;
}

/** What came of a generation, put together from its events. */
export class AnswerCollector {
  readonly #choices: Unfinished[] = [];
  /** The longest that a choice waited. */
  #queuedSeconds = 0;

  get queuedSeconds(): number {
    return this.#queuedSeconds;
  }

  take({ choice, event }: ChoiceEvent): void {
    const unfinished = this.#choices[choice] ?? { text: '', toolCalls: [], finish: null };
    this.#choices[choice] = unfinished;
    if (event.type === 'delta') {
      unfinished.text += event.text;
      for (const { index, id, name, arguments: piece } of event.toolCalls ?? []) {
        const call = unfinished.toolCalls[index] ?? { id: '', name: '', arguments: '' };
        unfinished.toolCalls[index] = call;
        call.id += id ?? '';
        call.name += name ?? '';
        call.arguments += piece;
      }
    } else if (event.type === 'finish') {
      const { reason, stopReason, usage, queuedSeconds } = event;
      unfinished.finish = { reason, stopReason, usage };
      this.#queuedSeconds = Math.max(this.#queuedSeconds, queuedSeconds);
    }
  }

  /** @param choices that were asked for @returns null where it is not whole, or says nothing */
  answer(choices: number): StoredAnswer | null {
    const whole = this.#choices.flatMap(({ finish, ...said }) =>
      finish === null || (said.text === '' && said.toolCalls.length === 0) ? [] : [{ ...said, ...finish }],
    );
    return whole.length === choices ? { choices: whole } : null;
  }
}

/** What an answer took: all choices have the prompt in common. */
export function tokensOf({ choices }: StoredAnswer) {
  let [promptTokens, completionTokens] = [0, 0];
  for (const { usage } of choices) {
    promptTokens = Math.max(promptTokens, usage.promptTokens);
    completionTokens += usage.completionTokens;
  }
  return { promptTokens, completionTokens };
}

/** A word with the space before it, or space alone: pieces as models make them, more or less. */
const PIECE = /\s*\S+|\s+/gu;
/** Longer words are parted: nobody's reader waits for a page without spaces. */
const LONGEST_PIECE = 64;

/** An answer as events of a generation, in pieces of a word. */
export async function* replay({ choices }: StoredAnswer): AsyncGenerator<ChoiceEvent> {
  for (const [choice, { usage }] of choices.entries()) {
    yield { choice, event: { type: 'start', promptTokens: usage.promptTokens, promptText: null } };
  }
  for (const [choice, stored] of choices.entries()) {
    for (const text of piecesOf(stored.text)) {
      yield { choice, event: { type: 'delta', text, tokens: 0, logprobs: null } };
    }
    for (const [index, call] of stored.toolCalls.entries()) yield callEvent(choice, index, call);
    const { reason, stopReason, usage } = stored;
    yield { choice, event: { type: 'finish', reason, stopReason, usage, queuedSeconds: 0 } };
  }
}

function piecesOf(text: string): readonly string[] {
  const pieces = text.match(PIECE) ?? [];
  return pieces.flatMap((piece) => (piece.length <= LONGEST_PIECE ? [piece] : parts(piece)));
}

/** Never in the middle of a character. */
function parts(piece: string): string[] {
  const characters = Array.from(piece);
  return Array.from({ length: Math.ceil(characters.length / LONGEST_PIECE) }, (_, part) =>
    characters.slice(part * LONGEST_PIECE, (part + 1) * LONGEST_PIECE).join(''),
  );
}

/** With an id of its own: a conversation may come to have several answers of the cache. */
function callEvent(choice: number, index: number, { name, arguments: text }: ToolCall): ChoiceEvent {
  const toolCalls = [{ index, id: newId('call_'), name, arguments: text }];
  return { choice, event: { type: 'delta', text: '', tokens: 0, logprobs: null, toolCalls } };
}
