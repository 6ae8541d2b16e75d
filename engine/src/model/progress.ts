/** How far a long step is, in bytes. */
export interface ModelProgress {
  readonly stage: 'download' | 'verify' | 'quantize';
  /** A file's or model's name. */
  readonly label: string;
  readonly done: number;
  readonly total: number;
}

export type OnProgress = (progress: ModelProgress) => void;

const VERBS = { download: 'Downloading', verify: 'Verifying', quantize: 'Preparing weights of' } as const;

/** A line for people: `Downloading model.gguf: 45 % of 93 MB`. */
export function formatProgress({ stage, label, done, total }: ModelProgress): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${VERBS[stage]} ${label}: ${percent} % of ${Math.ceil(total / 1e6)} MB`;
}
