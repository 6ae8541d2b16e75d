/** How far a long step is, in bytes. `total` is null where it is not known. */
export interface ModelProgress {
  readonly stage: 'download' | 'verify' | 'quantize';
  /** A file's or model's name. */
  readonly label: string;
  readonly done: number;
  readonly total: number | null;
}

export type OnProgress = (progress: ModelProgress) => void;
