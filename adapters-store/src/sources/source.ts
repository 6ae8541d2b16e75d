import { parseS3Location } from '../s3/location.ts';
import { SourceError } from './source-error.ts';

/** Where an adapter is to be had. */
export type Source =
  | { readonly kind: 'hub'; readonly repo: string; readonly revision: string }
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

const OWNER_AND_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;
const USUAL_REVISION = 'main';

/**
 * Reads `hf:owner/name`, `hf:owner/name@revision` or `s3://bucket/prefix`.
 * @throws SourceError `source_invalid`
 */
export function parseSource(text: string): Source {
  if (text.startsWith('hf:')) {
    const [repo = '', revision = USUAL_REVISION, ...rest] = text.slice('hf:'.length).split('@');
    const isOne = OWNER_AND_NAME.test(repo) && REVISION.test(revision) && rest.length === 0;
    if (isOne && !text.includes('..')) return { kind: 'hub', repo, revision };
  }
  const location = parseS3Location(text);
  if (location !== null) return { kind: 's3', ...location };
  throw new SourceError(
    'source_invalid',
    'a source is hf:owner/name, hf:owner/name@revision or s3://bucket/prefix',
  );
}

/** The source as it is written: the same for the same. */
export function sourceText(source: Source): string {
  return source.kind === 'hub'
    ? `hf:${source.repo}@${source.revision}`
    : `s3://${source.bucket}/${source.prefix}`;
}
