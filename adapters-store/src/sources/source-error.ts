/** Stable codes of why nothing could be had from a source. */
export type SourceErrorCode =
  /** Not `hf:owner/name`, `hf:owner/name@revision` or `s3://bucket/prefix`. */
  | 'source_invalid'
  /** A host, an address, a port or a scheme that the server does not connect to. */
  | 'source_refused'
  /** It asks for a token or other credentials than the server has. */
  | 'source_denied'
  /** It has no such repository, revision, bucket or file. */
  | 'source_not_found'
  /** More bytes than an adapter may have. */
  | 'source_too_large'
  /** It cannot be reached, took too long or broke off. */
  | 'source_unavailable';

/** The message tells what an operator may know: never a token. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: SourceErrorCode;

  constructor(code: SourceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
