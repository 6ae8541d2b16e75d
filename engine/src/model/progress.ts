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

/** The least time between two lines about the same file. */
const PROGRESS_MILLISECONDS = 1_000;

/** Progress as text: a line when something begins, when it is done, and now and then between. */
export function inLines(onLine: (line: string) => void): OnProgress {
  let current = '';
  let last = '';
  let lastAt = 0;
  return (progress) => {
    const line = formatProgress(progress);
    const what = `${progress.stage} ${progress.label}`;
    const due = what !== current || progress.done === progress.total;
    if (line === last || (!due && performance.now() - lastAt < PROGRESS_MILLISECONDS)) return;
    onLine(line);
    current = what;
    last = line;
    lastAt = performance.now();
  };
}
