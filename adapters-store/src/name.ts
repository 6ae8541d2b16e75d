/** What clients may call an adapter, and a version of it. */

const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const LONGEST_NAME = 128;
const LONGEST_TAG = 64;
const DIGEST = /^[0-9a-f]{64}$/;
const RELEASE = /^v([1-9]\d{0,8})$/;

/** What `isAdapterName` asks for, to stand after "a name is". */
export const NAME_RULE =
  'letters, digits, ".", "_" and "-", a letter or digit first, no "..", at most 128 characters; one "/" may part ' +
  'an owner from it';

/** What `isTag` asks for, to stand after "a tag is". */
export const TAG_RULE =
  'letters, digits, ".", "_" and "-", a letter or digit first, at most 64 characters, and not "v" with a number';

/** Whether a name may be an adapter's: such a name is safe in a URL and in a log line, and its parts as file names. */
export function isAdapterName(name: string): boolean {
  const segments = name.split('/');
  return name.length <= LONGEST_NAME && segments.length <= 2 && segments.every(isSegment);
}

/** Whether somebody may move this tag; `v3` and the like say which release it was for ever. */
export function isTag(tag: string): boolean {
  return tag.length <= LONGEST_TAG && isSegment(tag) && !RELEASE.test(tag);
}

/** A name, and which of its versions. */
export type AdapterReference = { readonly name: string } & (
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'release'; readonly number: number }
  | { readonly kind: 'digest'; readonly digest: string }
);

/** The tag that a name alone stands for: what was pushed last. */
export const LATEST = 'latest';

/** Reads `acme/support`, `acme/support@latest`, `acme/support@v3` or `acme/support@sha256:…`; null where it is none of these. */
export function parseReference(text: string): AdapterReference | null {
  const at = text.indexOf('@');
  const name = at < 0 ? text : text.slice(0, at);
  if (!isAdapterName(name)) return null;
  if (at < 0) return { name, kind: 'tag', tag: LATEST };
  const version = text.slice(at + 1);
  if (version.startsWith('sha256:')) {
    const digest = version.slice('sha256:'.length);
    return DIGEST.test(digest) ? { name, kind: 'digest', digest } : null;
  }
  const [, number] = RELEASE.exec(version) ?? [];
  if (number !== undefined) return { name, kind: 'release', number: Number(number) };
  return isTag(version) ? { name, kind: 'tag', tag: version } : null;
}

function isSegment(text: string): boolean {
  return SEGMENT.test(text) && !text.includes('..');
}
