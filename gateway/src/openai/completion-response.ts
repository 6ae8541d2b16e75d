import type { FinishReason } from '@polylora/engine';
import type { ChoiceEvent } from '../generation.ts';
import { bestOf } from './best-of.ts';
import type { AnswerHead } from './chat-response.ts';
import { type LegacyLogprobs, LegacyLogprobsWriter } from './logprobs.ts';
import { type UsageBody, UsageSum } from './usage.ts';

/** What a completion depends on beside its events. */
export interface CompletionAnswerOptions {
  readonly head: AnswerHead;
  readonly prompts: number;
  readonly choicesPerPrompt: number;
  /** Answers that were made to each prompt, of which the likeliest are given. */
  readonly candidatesPerPrompt: number;
  readonly logprobs: boolean;
}

/** A piece of a choice, in the form that both the stream and the whole answer are made of. */
interface Piece {
  readonly index: number;
  readonly text: string;
  readonly logprobs: LegacyLogprobs | null;
  readonly finish_reason: FinishReason | null;
  readonly stop_reason: string | number | null;
}

/** The whole answer as one `text_completion`. */
export function textCompletion(events: readonly ChoiceEvent[], options: CompletionAnswerOptions): object {
  const { choicesPerPrompt: wanted, candidatesPerPrompt: made } = options;
  const usage = new UsageSum(made);
  for (const { choice, event } of events) if (event.type === 'finish') usage.add(choice, event.usage);
  const writer = new PieceWriter(options.logprobs);
  const pieces = Array.from({ length: options.prompts * options.choicesPerPrompt }, (): Piece[] => []);
  for (const event of made === wanted ? events : bestOf(events, { made, wanted })) {
    const piece = writer.write(event);
    if (piece !== null) pieces[piece.index]?.push(piece);
  }
  const choices = pieces.map((ofChoice, index) => ({
    index,
    text: ofChoice.map(({ text }) => text).join(''),
    logprobs: options.logprobs ? joined(ofChoice.flatMap(({ logprobs }) => logprobs ?? [])) : null,
    finish_reason: ofChoice.at(-1)?.finish_reason ?? null,
    stop_reason: ofChoice.at(-1)?.stop_reason ?? null,
  }));
  return { object: 'text_completion', ...options.head, choices, usage: usage.body() };
}

/** The answer as a stream of `text_completion`s. */
export async function* textCompletionChunks(
  events: AsyncIterable<ChoiceEvent>,
  {
    head,
    choicesPerPrompt,
    logprobs,
    includeUsage,
  }: CompletionAnswerOptions & { readonly includeUsage: boolean },
): AsyncGenerator<object> {
  const sum = new UsageSum(choicesPerPrompt);
  const writer = new PieceWriter(logprobs);
  const chunk = (choices: readonly Piece[], usage: UsageBody | null = null) => ({
    object: 'text_completion',
    ...head,
    choices,
    ...(includeUsage ? { usage } : {}),
  });
  for await (const event of events) {
    if (event.event.type === 'finish') sum.add(event.choice, event.event.usage);
    const piece = writer.write(event);
    if (piece !== null) yield chunk([piece]);
  }
  if (includeUsage) yield chunk([], sum.body());
}

/** Writes the echoed prompt of each choice, its text as it comes, and how it ended. */
class PieceWriter {
  readonly #wantsLogprobs: boolean;
  readonly #writers = new Map<number, LegacyLogprobsWriter>();
  /** Texts to echo that wait for their logprobs. */
  readonly #prompts = new Map<number, string>();

  constructor(wantsLogprobs: boolean) {
    this.#wantsLogprobs = wantsLogprobs;
  }

  /** @returns null where an event leaves nothing to send */
  write({ choice: index, event }: ChoiceEvent): Piece | null {
    const piece = { index, text: '', logprobs: null, finish_reason: null, stop_reason: null };
    switch (event.type) {
      case 'start':
        if (event.promptText === null) return null;
        if (!this.#wantsLogprobs) return { ...piece, text: event.promptText };
        this.#prompts.set(index, event.promptText);
        return null;
      case 'prompt': {
        const text = this.#prompts.get(index) ?? '';
        return { ...piece, text, logprobs: this.#writer(index).prompt(event.logprobs, text) };
      }
      case 'delta': {
        const logprobs = event.logprobs === null ? null : this.#writer(index).write(event.logprobs);
        return event.text === '' && logprobs === null ? null : { ...piece, text: event.text, logprobs };
      }
      case 'finish':
        return { ...piece, finish_reason: event.reason, stop_reason: event.stopReason };
    }
  }

  #writer(index: number): LegacyLogprobsWriter {
    const writer = this.#writers.get(index) ?? new LegacyLogprobsWriter();
    this.#writers.set(index, writer);
    return writer;
  }
}

function joined(parts: readonly LegacyLogprobs[]): LegacyLogprobs {
  return {
    tokens: parts.flatMap(({ tokens }) => tokens),
    token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: parts.flatMap(({ text_offset }) => text_offset),
  };
}
