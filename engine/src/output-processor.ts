import type { Tokenizer } from '@polylora/engine-native';
import type { StepToken } from './model-runner.ts';
import type { Sequence } from './scheduling/sequence.ts';
import { Detokenizer } from './text/detokenizer.ts';
import { StopStrings } from './text/stop-strings.ts';
import type { ToolCallParser } from './tools/tool-call-parser.ts';
import type {
  FinishReason,
  GenerationEvent,
  TokenLogprob,
  TokenLogprobs,
  TokenText,
  ToolCallDelta,
} from './types.ts';

/** A token's own text and bytes, remembered because the same few thousand come up again and again. */
export class TokenTexts {
  readonly #tokenizer: Tokenizer;
  readonly #known = new Map<number, TokenText>();

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  textOf(id: number): TokenText {
    let known = this.#known.get(id);
    if (known === undefined) {
      const bytes = this.#tokenizer.tokenBytes(id);
      known = { text: new TextDecoder().decode(bytes), bytes: [...bytes] };
      this.#known.set(id, known);
    }
    return known;
  }

  describe(id: number, logprob: number): TokenLogprob {
    return { id, logprob, ...this.textOf(id) };
  }

  describeAll({ token, logprob, top }: StepToken): TokenLogprobs {
    return {
      top: top.map((alternative) => this.describe(alternative.id, alternative.logprob)),
      ...this.describe(token, logprob),
    };
  }
}

/** Turns one sequence's tokens into text and decides when it ends. */
export class OutputProcessor {
  readonly #sequence: Sequence;
  readonly #eosTokenIds: ReadonlySet<number>;
  readonly #stopTokenIds: ReadonlySet<number>;
  readonly #texts: TokenTexts;
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  /** Reads calls of tools out of the text; null where there are no tools. */
  readonly #calls: ToolCallParser | null;
  readonly #promptLogprobs: (TokenLogprobs | null)[] = [null];
  #promptReported = false;

  /** @param tools what reads their calls, and the control tokens that it has to see */
  constructor(
    sequence: Sequence,
    tokenizer: Tokenizer,
    texts: TokenTexts,
    eosTokenIds: ReadonlySet<number>,
    tools: { readonly parser: ToolCallParser; readonly markers: ReadonlySet<number> } | null = null,
  ) {
    this.#sequence = sequence;
    this.#calls = tools?.parser ?? null;
    this.#texts = texts;
    this.#eosTokenIds = eosTokenIds;
    this.#stopTokenIds = new Set(sequence.sampling.stopTokenIds);
    this.#detokenizer = new Detokenizer(tokenizer, tools?.markers);
    this.#stops = new StopStrings(sequence.sampling.stop, sequence.sampling.includeStop);
  }

  /** Scores of the next prompt tokens. Gives the `prompt` event once the last one is in. */
  acceptPrompt(scored: readonly StepToken[]): GenerationEvent[] {
    const { prompt, sampling } = this.#sequence;
    if (sampling.promptLogprobs === null || this.#promptReported) return [];
    for (const token of scored) this.#promptLogprobs.push(this.#texts.describeAll(token));
    this.#sequence.scored = this.#promptLogprobs.length;
    if (this.#promptLogprobs.length < prompt.length) return [];
    this.#promptReported = true;
    return [{ type: 'prompt', logprobs: this.#promptLogprobs }];
  }

  /** The next token, already in `sequence.output`. Gives its `delta`, and `finish` if it is the last. */
  accept(token: StepToken): GenerationEvent[] {
    const { sampling, output } = this.#sequence;
    const id = token.token;
    // After the end of a constrained answer nothing can come, whatever else was asked for.
    const ignoreEos = sampling.ignoreEos && sampling.constraint === null;
    const endsByToken = this.#stopTokenIds.has(id) || (this.#eosTokenIds.has(id) && !ignoreEos);
    // As in vLLM, a stop string must end in text that comes after the least number of tokens.
    const mayStop = output.length > sampling.minTokens;
    const decoded = endsByToken && !sampling.includeStop ? '' : this.#detokenizer.push([id]);
    let { text, matched } = this.#stops.push(decoded, mayStop);
    const atLimit = output.length >= this.#sequence.maxTokens;
    const ends = endsByToken || matched !== null || atLimit;
    if (ends && matched === null) {
      const rest = this.#stops.push(this.#detokenizer.flush(), mayStop);
      text += rest.text;
      matched = rest.matched;
      if (matched === null) text += this.#stops.flush();
    }
    const logprobs = sampling.logprobs === null ? null : [this.#texts.describeAll(token)];
    const events: GenerationEvent[] = [
      { type: 'delta', ...this.#readCalls(text, ends), tokenIds: [id], logprobs },
    ];
    if (!ends) return events;
    const stopReason = matched ?? (this.#stopTokenIds.has(id) ? id : null);
    events.push(this.finish(this.#reasonOf(matched !== null || endsByToken), stopReason));
    return events;
  }

  #readCalls(text: string, ends: boolean): { text: string; toolCalls?: readonly ToolCallDelta[] } {
    if (this.#calls === null) return { text };
    const read = this.#calls.push(text);
    const rest = ends ? this.#calls.flush() : { text: '', calls: [] };
    const toolCalls = [...read.calls, ...rest.calls];
    return { text: read.text + rest.text, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
  }

  #reasonOf(byItself: boolean): FinishReason {
    if (!byItself) return 'length';
    return (this.#calls?.calls ?? 0) > 0 ? 'tool_calls' : 'stop';
  }

  finish(
    reason: FinishReason,
    stopReason: string | number | null,
  ): Extract<GenerationEvent, { type: 'finish' }> {
    const { prompt, output, cached, arrived, began } = this.#sequence;
    const usage = {
      promptTokens: prompt.length,
      completionTokens: output.length,
      cachedPromptTokens: cached ?? 0,
    };
    return { type: 'finish', reason, stopReason, usage, queuedSeconds: began === null ? 0 : began - arrived };
  }
}
