import { z } from 'zod';

export const BATCH_ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings'] as const;
export type BatchEndpoint = (typeof BATCH_ENDPOINTS)[number];

const STATUSES = [
  'validating',
  'in_progress',
  'finalizing',
  'completed',
  'failed',
  'expired',
  'cancelling',
  'cancelled',
] as const;
export type BatchStatus = (typeof STATUSES)[number];

const FINISHED: ReadonlySet<BatchStatus> = new Set(['completed', 'failed', 'expired', 'cancelled']);

const Progress = z.object({
  completed: z.int(),
  failed: z.int(),
  promptTokens: z.int(),
  cachedPromptTokens: z.int(),
  completionTokens: z.int(),
});

/** How many lines have a result, and what the good ones used. */
export type Progress = z.infer<typeof Progress>;

const Problem = z.object({
  code: z.string(),
  message: z.string(),
  param: z.string().nullable(),
  /** Of the input file, beginning with 1; null for the file as a whole. */
  line: z.int().nullable(),
});

/** Why a batch failed. */
export type Problem = z.infer<typeof Problem>;

export const BatchRecord = z.object({
  id: z.string(),
  tenant: z.string(),
  /** Id of the key that made it, whose limits its lines have; null: there was none. */
  key: z.string().nullable().default(null),
  endpoint: z.enum(BATCH_ENDPOINTS),
  inputFileId: z.string(),
  /** Allotted when the batch is made, so that a restart in the middle of publishing finds what it did. */
  outputFileId: z.string(),
  errorFileId: z.string(),
  metadata: z.record(z.string(), z.string()).nullable(),
  status: z.enum(STATUSES),
  /** When it came to each status, in Unix seconds. */
  times: z.partialRecord(z.enum(STATUSES), z.int()),
  expiresAt: z.int(),
  problems: z.array(Problem).nullable(),
  /** Lines; 0 until they are counted. */
  total: z.int(),
  /** Set once every line has its result, and how the batch then ends: only publishing is left. */
  sealed: z.object({ outcome: z.enum(['completed', 'expired', 'cancelled']), progress: Progress }).nullable(),
});

/** All that is kept of a batch, beside its results. */
export type BatchRecord = z.infer<typeof BatchRecord>;

export const NO_PROGRESS: Progress = {
  completed: 0,
  failed: 0,
  promptTokens: 0,
  cachedPromptTokens: 0,
  completionTokens: 0,
};

export function isFinished({ status }: BatchRecord): boolean {
  return FINISHED.has(status);
}

/** The batch in a new status, with the time at which it came to it. */
export function withStatus(batch: BatchRecord, status: BatchStatus): BatchRecord {
  return { ...batch, status, times: { ...batch.times, [status]: Math.floor(Date.now() / 1000) } };
}

/** OpenAI's `batch` object. */
export function batchBody(batch: BatchRecord, progress: Progress): object {
  const { times, sealed, problems } = batch;
  const { completed, failed, promptTokens, cachedPromptTokens, completionTokens } =
    sealed?.progress ?? progress;
  const at = (status: BatchStatus) => times[status] ?? null;
  const published = isFinished(batch) && sealed !== null;
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    errors: problems === null ? null : { object: 'list', data: problems },
    input_file_id: batch.inputFileId,
    completion_window: '24h',
    status: batch.status,
    output_file_id: published && completed > 0 ? batch.outputFileId : null,
    error_file_id: published && failed > 0 ? batch.errorFileId : null,
    created_at: at('validating'),
    in_progress_at: at('in_progress'),
    expires_at: batch.expiresAt,
    finalizing_at: at('finalizing'),
    completed_at: at('completed'),
    failed_at: at('failed'),
    expired_at: at('expired'),
    cancelling_at: at('cancelling'),
    cancelled_at: at('cancelled'),
    request_counts: { total: batch.total, completed, failed },
    usage: {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: cachedPromptTokens },
      output_tokens: completionTokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: promptTokens + completionTokens,
    },
    metadata: batch.metadata,
  };
}
