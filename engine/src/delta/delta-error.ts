/** Why no delta was made. */
export type DeltaErrorCode =
  /** The two models differ in more than their weights. */
  | 'not_a_fine_tune'
  /** The fine-tune changed what a delta has no place for. */
  | 'change_not_carried'
  /** The wanted size or rank is not possible with this model. */
  | 'size_not_possible'
  /** Where the result was to go something is already. */
  | 'output_exists';

/** The message is for whoever asked for the delta. */
export class DeltaError extends Error {
  override readonly name = 'DeltaError';
  readonly code: DeltaErrorCode;
  constructor(code: DeltaErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
