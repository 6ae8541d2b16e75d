import { availableParallelism } from 'node:os';
import {
  Executor,
  type GrammarCursor,
  type MaskStats,
  type StepOutput as NativeOutput,
  type SamplerOptions,
} from '@polylora/engine-native';
import {
  type AdapterLayout,
  type LoraDtype,
  layOutAdapter,
  placeAddresses,
} from './memory/adapter-layout.ts';
import type { AdapterLoad } from './memory/adapter-residency.ts';
import type { PreparedModel } from './model/prepare.ts';
import { nativeModule } from './native-adapter.ts';
import { ortLibrary } from './ort-library.ts';
import type { ScheduledSequence } from './scheduling/sequence.ts';
import { BLOCK_TOKENS, type Sequence } from './scheduling/sequence.ts';
import type { DraftPlan } from './scheduling/speculation.ts';
import type { AdapterWeights, ModelInfo, StepKernel } from './types.ts';

/**
 * A token that a step chose or scored. `token` is below 0 where there is none: -1 when the logits were not finite, -2 when nothing
 * that the constraint allows has a probability, -3 when its grammar became too complex.
 */
export interface StepToken {
  readonly token: number;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** A token that a step chose. */
export interface NextToken extends StepToken {
  /** Length of the match that foretold it, negative where that was another token; 0: nothing was foretold. */
  readonly match: number;
}

/** What a step brought one sequence. */
export interface SequenceOutput {
  readonly sequence: Sequence;
  /** Scores of prompt tokens, in order. */
  readonly scored: readonly StepToken[];
  /** The new tokens, where the step reached the sequence's end: one, and one more for each draft that was right. */
  readonly next: readonly NextToken[];
  /** How many tokens were drafted. */
  readonly drafted: number;
  /** The last token's hidden state times the last norm's weight, where it is wanted and the step reached it. */
  readonly pooled: Float32Array | null;
}

/** What came of one step. */
export interface StepOutput {
  /** One for each scheduled sequence, in order. */
  readonly sequences: readonly SequenceOutput[];
  /** Time in the graph. */
  readonly seconds: number;
  /** Of that, in our operators; the rest is the graph's. */
  readonly operators: Readonly<Record<Exclude<StepKernel, 'graph'>, number>>;
}

/** What keys and values are kept as. */
export type KvCacheDtype = 'f16' | 'int8';

/** Bytes of a page: one KV block of all layers. Eight-bit codes have a float scale for each key and value. */
export function pageBytes(
  model: Pick<ModelInfo, 'layerCount' | 'kvHeadCount' | 'headDim'>,
  kvCacheDtype: KvCacheDtype,
): number {
  const headBytes = kvCacheDtype === 'f16' ? model.headDim * 2 : model.headDim + 4;
  return BLOCK_TOKENS * model.layerCount * 2 * model.kvHeadCount * headBytes;
}

/** A run while its steps come in. */
interface Run {
  readonly batch: readonly ScheduledSequence[];
  /** The rows of logits that each sequence needs. */
  readonly wanted: readonly Wanted[];
  readonly onStep: (output: StepOutput) => void;
  stepsSeen: number;
  /** Told at every step. */
  wake: () => void;
  /** What `onStep` threw. */
  thrown: { readonly error: unknown } | null;
}

interface Wanted {
  readonly scores: number;
  readonly next: boolean;
  readonly pooled: boolean;
}

/** Numbers that the addon takes for each sequence. */
const SEQUENCE_FIELDS = 5;
const NOTHING = new Uint32Array();

/** Turns schedules into the addon's flat arrays and back. Holds no state of the requests. */
export class ModelRunner {
  readonly #executor: Executor;
  readonly #prepared: PreparedModel;
  readonly #loraDtype: LoraDtype;
  readonly #pageBytes: number;
  #run: Run | null = null;

  private constructor(executor: Executor, prepared: PreparedModel, loraDtype: LoraDtype, bytes: number) {
    this.#executor = executor;
    this.#prepared = prepared;
    this.#loraDtype = loraDtype;
    this.#pageBytes = bytes;
    executor.onStep((output) => this.#stepped(output));
  }

  /** Loads the graph and allocates the pool. `threads` null takes what the machine has. */
  static async open(
    prepared: PreparedModel,
    pageCount: number,
    options: {
      readonly threads: number | null;
      readonly kvCacheDtype: KvCacheDtype;
      readonly loraDtype: LoraDtype;
    },
  ): Promise<ModelRunner> {
    const { info } = prepared;
    const { threads, kvCacheDtype, loraDtype } = options;
    const bytes = pageBytes(info, kvCacheDtype);
    const executor = await Executor.open({
      ortLibrary: ortLibrary(),
      graph: prepared.graphFile,
      threads: threads ?? availableParallelism(),
      pageBytes: bytes,
      pages: pageCount,
      kvCacheDtype,
      layers: info.layerCount,
      vocabSize: info.vocabSize,
      loraDtype,
    });
    return new ModelRunner(executor, prepared, loraDtype, bytes);
  }

  get pageBytes(): number {
    return this.#pageBytes;
  }

  /** What it computes with. */
  get machine(): { readonly threads: number; readonly simd: string } {
    const { threads, simd } = this.#executor;
    return { threads, simd };
  }

  layOut(adapter: AdapterWeights): AdapterLayout {
    return layOutAdapter(adapter, this.#prepared.info, this.#loraDtype, this.#pageBytes);
  }

  /** Reads an adapter into its pages; rejects with what is wrong with the file. */
  async loadAdapter(load: AdapterLoad, adapter: AdapterWeights, layout: AdapterLayout): Promise<void> {
    await this.#executor.loadAdapter(
      load.slot,
      adapter.files.map(({ path }) => path),
      adapter.modules.map((adapted) => nativeModule(adapted, this.#prepared.info)),
      placeAddresses(layout, load.pages),
    );
  }

  unloadAdapter(slot: number): void {
    this.#executor.unloadAdapter(slot);
  }

  /**
   * @param how where the sequence's answer begins in its grammar, if it has one, and whether what its tokens foretell is watched, so
   * that it may be drafted for
   */
  addSequence(
    sequence: Sequence,
    { cursor, watched }: { readonly cursor: GrammarCursor | null; readonly watched: boolean },
  ): void {
    const { sampling } = sequence;
    const options: SamplerOptions = {
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK,
      minP: sampling.minP,
      presencePenalty: sampling.presencePenalty,
      frequencyPenalty: sampling.frequencyPenalty,
      repetitionPenalty: sampling.repetitionPenalty,
      biasTokens: sampling.logitBias.map(([token]) => token),
      biasValues: sampling.logitBias.map(([, bias]) => bias),
      seed: sampling.seed,
      minTokens: sampling.minTokens,
      suppressedUntilMin: [...this.#prepared.eosTokenIds, ...sampling.stopTokenIds],
      ...(sampling.logprobs === null ? {} : { logprobs: sampling.logprobs }),
    };
    this.#executor.addSampler(sequence.handle, options, sequence.prompt, cursor);
    if (watched) this.#executor.addDrafter(sequence.handle, sequence.prompt);
  }

  removeSequence(sequence: Sequence): void {
    this.#executor.removeSampler(sequence.handle);
  }

  /**
   * Runs a batch for up to `steps` steps, one after the other without waiting for us: more than one only for sequences
   * that decode and have blocks for as many tokens. Drafts go as far as a sequence's blocks. `slotOf` gives the addon's slot
   * of a resident adapter.
   *
   * @throws what `onStep` threw, or Error when a step could not be computed; steps before it are reported.
   */
  async run(
    batch: readonly ScheduledSequence[],
    steps: number,
    drafts: DraftPlan | null,
    slotOf: (digest: string) => number,
    onStep: (output: StepOutput) => void,
  ): Promise<void> {
    const rowCount = batch.reduce((sum, { rows }) => sum + rows, 0);
    const inputIds = new Int32Array(rowCount);
    const sequences = new Int32Array(batch.length * SEQUENCE_FIELDS);
    const blocks: number[] = [];
    const samples: number[] = [];
    const pooledSequences: number[] = [];
    const wanted: Wanted[] = [];
    let row = 0;
    for (const [index, { sequence, rows }] of batch.entries()) {
      const slot = sequence.adapter === null ? -1 : slotOf(sequence.adapter);
      const most = Math.min(sequence.mostComputed, sequence.blocks.length * BLOCK_TOKENS);
      sequences.set(
        [rows, sequence.computed, slot, sequence.blocks.length, sequence.isDecoding ? most : 0],
        index * SEQUENCE_FIELDS,
      );
      for (const block of sequence.blocks) blocks.push(block);
      for (let offset = 0; offset < rows; offset++) {
        inputIds[row + offset] = sequence.token(sequence.computed + offset);
      }
      const pooled = sequence.pooled && sequence.computed + rows === sequence.length;
      if (pooled) pooledSequences.push(index);
      wanted.push({ pooled, ...pushSamples(samples, sequence, row, rows) });
      row += rows;
    }
    const run: Run = { batch, wanted, onStep, stepsSeen: 0, wake: () => {}, thrown: null };
    this.#run = run;
    const done = await this.#executor.run({
      inputIds,
      sequences,
      blocks: Uint32Array.from(blocks),
      samples: Int32Array.from(samples),
      pooled: Uint32Array.from(pooledSequences),
      steps,
      drafts: drafts?.after ?? NOTHING,
      mostDrafts: drafts?.most ?? 0,
    });
    // The end of the run may be known before its last step's output arrives.
    while (run.stepsSeen < done.steps) {
      await new Promise<void>((resolve) => {
        run.wake = resolve;
      });
    }
    this.#run = null;
    if (run.thrown !== null) throw run.thrown.error;
    if (done.failure != null) throw new Error(done.failure);
  }

  /** What the masks of constraints have taken. */
  get maskStats(): MaskStats {
    return this.#executor.maskStats();
  }

  /** Makes a run end after the step that is being computed. */
  interrupt(): void {
    this.#executor.interrupt();
  }

  #stepped(output: NativeOutput): void {
    const run = this.#run!;
    try {
      const tokens = stepTokens(output);
      let [taken, sample, pooledRow] = [0, 0, 0];
      const width = this.#prepared.info.hiddenSize;
      const sequences = run.batch.map(({ sequence }, index) => {
        const wanted = run.wanted[index]!;
        const scored = tokens.slice(taken, taken + wanted.scores);
        taken += wanted.scores;
        sample += wanted.scores;
        const begin = wanted.pooled ? width * pooledRow++ : 0;
        const pooled = wanted.pooled ? output.pooled.slice(begin, begin + width) : null;
        if (!wanted.next) return { sequence, scored, next: [], drafted: 0, pooled };
        const next = tokens.slice(taken, taken + output.counts[sample]!);
        taken += next.length;
        return { sequence, scored, next, drafted: output.drafted[sample++]!, pooled };
      });
      const operators = {
        projections: output.projectionSeconds,
        attention: output.attentionSeconds,
        head: output.headSeconds,
        sampling: output.samplingSeconds,
      };
      run.onStep({ sequences, seconds: output.seconds, operators });
    } catch (error) {
      run.thrown ??= { error };
      this.interrupt();
    } finally {
      run.stepsSeen++;
      run.wake();
    }
  }
}

/** Adds the rows of logits a sequence needs: its prompt's scores, and its next token at its end. */
function pushSamples(
  samples: number[],
  sequence: Sequence,
  firstRow: number,
  rows: number,
): Omit<Wanted, 'pooled'> {
  const { promptLogprobs } = sequence.sampling;
  const end = sequence.computed + rows;
  let scores = 0;
  if (promptLogprobs !== null) {
    // The row at position p tells how probable the token at p + 1 is.
    const first = Math.max(sequence.scored, sequence.computed + 1);
    for (let target = first; target <= end && target < sequence.prompt.length; target++) {
      const row = firstRow + target - 1 - sequence.computed;
      samples.push(row, -1, sequence.prompt[target]!, promptLogprobs);
      scores++;
    }
  }
  const next = end === sequence.length && sequence.output.length < sequence.maxTokens;
  if (next) samples.push(firstRow + rows - 1, sequence.handle, 0, 0);
  return { scores, next };
}

function stepTokens(output: NativeOutput): NextToken[] {
  const tokens: NextToken[] = [];
  let top = 0;
  for (const [index, token] of output.tokens.entries()) {
    const end = top + output.topCounts[index]!;
    const alternatives = [];
    for (; top < end; top++) {
      alternatives.push({ id: output.topIds[top]!, logprob: output.topLogprobs[top]! });
    }
    const [logprob, match] = [output.logprobs[index]!, output.matches[index]!];
    tokens.push({ token, logprob, top: alternatives, match });
  }
  return tokens;
}
