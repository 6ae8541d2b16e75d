/** Stable codes of what the store refuses beside an adapter's own faults. */
export type StoreErrorCode =
  /** No such name, tag, release or version; or none that may be seen. */
  | 'adapter_not_found'
  /** The name belongs to another tenant. */
  | 'adapter_name_taken'
  /** The content is kept for another base model. */
  | 'adapter_of_other_model'
  /** A tag that cannot be moved or is none. */
  | 'adapter_tag_invalid'
  /** A grantee, note or parent that cannot be kept. */
  | 'adapter_field_invalid'
  /** Larger than the tenant may have. */
  | 'adapter_too_large'
  /** No such upload, or another tenant's. */
  | 'upload_not_found'
  /** Bytes that are not those which come next. */
  | 'upload_offset_mismatch'
  /** More bytes than were announced, or than may come at once. */
  | 'upload_too_long'
  /** To be completed before all of it has come. */
  | 'upload_incomplete'
  /** What has come is not what was sent. */
  | 'upload_damaged'
  /** As many uploads, or as many bytes of them, as may be open at once. */
  | 'uploads_exceeded'
  /** No such import. */
  | 'import_not_found'
  /** It has ended, and cannot be cancelled. */
  | 'import_ended'
  /** As many imports as there may be are running or waiting. */
  | 'imports_busy'
  /** A secret that was encrypted with another key. */
  | 'secret_unreadable'
  /** The key for secrets is none, or others may read it. */
  | 'secret_key_invalid';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** The field of the request that is wrong; null where it is none. */
  readonly field: string | null;

  constructor(code: StoreErrorCode, message: string, field: string | null = null) {
    super(message);
    this.code = code;
    this.field = field;
  }
}

/** Says where an upload is, to whoever thought it elsewhere. */
export class UploadOffsetError extends StoreError {
  /** Bytes that are here: the next one is this one's. */
  readonly offset: number;

  constructor(
    offset: number,
    code: 'upload_offset_mismatch' | 'upload_incomplete' = 'upload_offset_mismatch',
  ) {
    const message =
      code === 'upload_incomplete' ? `only ${offset} bytes have come` : `the next byte is number ${offset}`;
    super(code, `${message}; go on from there`, null);
    this.offset = offset;
  }
}
