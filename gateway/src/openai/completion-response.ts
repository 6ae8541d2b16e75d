import type { FinishReason } from '@polylora/engine';
import type { ChoiceEvent } from '../generation.ts';
import type { AnswerHead } from './chat-response.ts';
import { type LegacyLogprobs, LegacyLogprobsWriter } from './logprobs.ts';
import { type UsageBody, UsageSum } from './usage.ts';

/** What a completion depends on beside its events. */
export interface CompletionAnswerOptions {
  readonly head: AnswerHead;
  readonly prompts: number;
  readonly choicesPerPrompt: number;
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
export async function textCompletion(
  events: AsyncIterable<ChoiceEvent>,
  options: CompletionAnswerOptions,
): Promise<object> {
  const usage = new UsageSum(options.choicesPerPrompt);
  const pieces = Array.from({ length: options.prompts * options.choicesPerPrompt }, (): Piece[] => []);
  for await (const piece of piecesOf(events, options.logprobs, usage)) pieces[piece.index]?.push(piece);
  const choices = pieces.map((ofChoice, index) => ({
    index,
    text: ofChoice.map(({ text }) => text).join(''),
    logprobs: options.logprobs ? joined(ofChoice.flatMap(({ logprobs }) => logprobs ?? [])) : null,
    finish_reason: ofChoice.at(-1)?.finish_reason ?? null,
    stop_reason: ofChoice.at(-1)?.stop_reason ?? null,
  }));
  return { ...options.head, object: 'text_completion', choices, usage: usage.body() };
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
  const chunk = (choices: readonly Piece[], usage: UsageBody | null = null) => ({
    ...head,
    object: 'text_completion',
    choices,
    ...(includeUsage ? { usage } : {}),
  });
  for await (const piece of piecesOf(events, logprobs, sum)) yield chunk([piece]);
  if (includeUsage) yield chunk([], sum.body());
}

/** The echoed prompt of each choice, its text as it comes, and how it ended. */
async function* piecesOf(
  events: AsyncIterable<ChoiceEvent>,
  wantsLogprobs: boolean,
  usage: UsageSum,
): AsyncGenerator<Piece> {
  const writers = new Map<number, LegacyLogprobsWriter>();
  /** Texts to echo that wait for their logprobs. */
  const prompts = new Map<number, string>();
  for await (const { choice: index, event } of events) {
    const writer = writers.get(index) ?? new LegacyLogprobsWriter();
    writers.set(index, writer);
    const piece = { index, text: '', logprobs: null, finish_reason: null, stop_reason: null };
    if (event.type === 'start') {
      if (event.promptText === null) continue;
      if (wantsLogprobs) prompts.set(index, event.promptText);
      else yield { ...piece, text: event.promptText };
    } else if (event.type === 'prompt') {
      const text = prompts.get(index) ?? '';
      yield { ...piece, text, logprobs: writer.prompt(event.logprobs, text) };
    } else if (event.type === 'delta') {
      const logprobs = event.logprobs === null ? null : writer.write(event.logprobs);
      if (event.text !== '' || logprobs !== null) yield { ...piece, text: event.text, logprobs };
    } else {
      usage.add(index, event.usage);
      yield { ...piece, finish_reason: event.reason, stop_reason: event.stopReason };
    }
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
