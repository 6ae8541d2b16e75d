/** A bucket, and what the keys in it begin with: nothing, or a path that ends with a slash. */
export interface S3Location {
  readonly bucket: string;
  readonly prefix: string;
}

/** S3's own rules for buckets' names: such a name is safe in a host name. */
const BUCKET = /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const LONGEST_PREFIX = 512;

/** Reads `s3://bucket` or `s3://bucket/prefix`; null where it is neither. */
export function parseS3Location(text: string): S3Location | null {
  if (!text.startsWith('s3://')) return null;
  const [bucket = '', ...path] = text.slice('s3://'.length).split('/');
  const segments = path.at(-1) === '' ? path.slice(0, -1) : path;
  if (!BUCKET.test(bucket) || !segments.every(isSegment)) return null;
  const prefix = segments.map((segment) => `${segment}/`).join('');
  return prefix.length > LONGEST_PREFIX ? null : { bucket, prefix };
}

/** Dots alone would be read as another path on the way to some servers, and control characters as another line. */
function isSegment(segment: string): boolean {
  return segment !== '' && !/^\.{1,2}$/.test(segment) && !/[\p{Cc}\\?#]/u.test(segment);
}
