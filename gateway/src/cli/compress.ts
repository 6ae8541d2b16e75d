/** `polylora adapters compress`: a full fine-tune becomes an adapter, without a server. */
import {
  type CompressionReport,
  compressFineTune,
  DeltaError,
  defaultHome,
  EngineError,
} from '@polylora/engine';
import type { Invocation } from './commands.ts';
import { CommandError, UsageError } from './errors.ts';
import type { ProgressSink } from './progress.ts';
import { byteText, table } from './text.ts';

const USUAL_TARGET = 7;
const HINT = 'Try: polylora adapters compress --help.';

/** What `--size-target` and `--rank` may be. */
const TARGETS = { least: 1, most: 8 } as const;
const MOST_RANK = 4096;

/**
 * Compresses and writes.
 * @throws UsageError where an option is wrong, CommandError where it cannot be done
 */
export async function compress(
  { positionals: [tuned = ''], text, has }: Invocation,
  env: Readonly<Record<string, string | undefined>>,
  sink: ProgressSink,
): Promise<CompressionReport> {
  const [base, folder] = [text('base'), text('out')];
  if (base === undefined) throw new UsageError(`Say what it was tuned from: --base. ${HINT}`);
  if (folder === undefined) throw new UsageError(`Say where the adapter is to go: --out. ${HINT}`);
  const size = sizeOf(text('size-target'), text('rank'));
  // As the server reads them: some tools put other tokens there.
  const token = env.POLYLORA_HUB_TOKEN || (env.HF_TOKEN?.startsWith('hf_') ? env.HF_TOKEN : undefined);
  const progress = new LayerProgress(sink);
  try {
    return await compressFineTune({
      tuned,
      base,
      folder,
      size,
      home: env.POLYLORA_HOME || defaultHome(env),
      ...(token ? { hub: { accessToken: token } } : {}),
      keepBaseEmbeddings: has('keep-base-embeddings'),
      keepBaseBiases: has('keep-base-biases'),
      onProgress: (done, all) => progress.show(done, all),
    });
  } catch (error) {
    if (!(error instanceof DeltaError || error instanceof EngineError) && !isSystemError(error)) throw error;
    throw new CommandError(error.message, { cause: error });
  } finally {
    progress.end();
  }
}

/** For people: what it came to, and what it costs. */
export function compressionText(folder: string, report: CompressionReport): string {
  const rows = report.kinds.map(({ module, rank, float16Bytes, bytes, relativeError }) => [
    module,
    String(rank),
    byteText(float16Bytes),
    byteText(bytes),
    `${(float16Bytes / bytes).toFixed(2)} x`,
    `${(100 * relativeError).toFixed(1)} %`,
  ]);
  const all = [
    'all',
    '',
    byteText(report.float16Bytes),
    byteText(report.fileBytes),
    `${report.compression.toFixed(2)} x`,
    `${(100 * report.relativeError).toFixed(1)} %`,
  ];
  const titles = ['PROJECTION', 'RANK', 'FLOAT16', 'DELTA', 'SMALLER', 'ERROR'];
  const kept = report.leftOut.map(
    ({ name, relativeDifference }) =>
      `Kept of the base: ${name}, which the fine-tune moved by ${Number((100 * relativeDifference).toPrecision(2))} %.\n`,
  );
  return (
    `${table([titles, ...rows, all])}\n` +
    'ERROR is what is left of the change of the weights, as a part of its norm.\n' +
    `Not carried: embeddings, head, final norm, biases, norms of queries and keys. ${kept.length === 0 ? 'This fine-tune changed none of them.' : ''}\n` +
    kept.join('') +
    `Written to ${folder}: polylora adapters push ${folder} --name <name>\n`
  );
}

function sizeOf(target: string | undefined, rank: string | undefined) {
  if (target !== undefined && rank !== undefined) {
    throw new UsageError(`Give --size-target or --rank: each follows from the other. ${HINT}`);
  }
  if (rank !== undefined) {
    if (!/^\d{1,4}$/.test(rank) || Number(rank) > MOST_RANK) {
      throw new UsageError(`--rank must be a whole number from 0 to ${MOST_RANK}. ${HINT}`);
    }
    return { rank: Number(rank) };
  }
  const value = target === undefined ? USUAL_TARGET : Number(target);
  // The negation refuses what is no number as well.
  if (!(value >= TARGETS.least && value <= TARGETS.most)) {
    throw new UsageError(`--size-target must be from ${TARGETS.least} to ${TARGETS.most}. ${HINT}`);
  }
  return { target: value };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

/** A line that is drawn over, on a terminal only. */
class LayerProgress {
  readonly #sink: ProgressSink;
  constructor(sink: ProgressSink) {
    this.#sink = sink;
  }

  show(done: number, all: number): void {
    if (this.#sink.isTTY) this.#sink.write(`\rCompressing: ${done} of ${all} projections\u001b[K`);
  }

  end(): void {
    if (this.#sink.isTTY) this.#sink.write('\r\u001b[K');
  }
}
