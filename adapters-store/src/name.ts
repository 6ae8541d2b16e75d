const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const LONGEST_NAME = 128;

/** What `isAdapterName` asks for, to stand after "a name is". */
export const NAME_RULE =
  'letters, digits, ".", "_" and "-", a letter or digit first, no "..", at most 128 characters';

/** Whether a name may be an adapter's: such a name is safe as a file name, in a URL and in a log line. */
export function isAdapterName(name: string): boolean {
  return name.length <= LONGEST_NAME && NAME.test(name) && !name.includes('..');
}
