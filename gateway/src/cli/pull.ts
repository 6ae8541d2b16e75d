import type { AdminClient } from './client.ts';
import type { Invocation } from './commands.ts';
import { UsageError } from './errors.ts';
import { Progress } from './progress.ts';
import type { Surroundings } from './surroundings.ts';
import type { Telling } from './telling.ts';
import { assertFree, unpack } from './unpack.ts';

const FETCHING = { begins: 'Fetching', sent: 'All fetched.' };

/** `polylora adapters pull` */
export async function pull(
  client: AdminClient,
  { positionals: [reference = '', directory = ''] }: Invocation,
  { stderr }: Surroundings,
  told: Telling,
): Promise<string> {
  const at = reference.indexOf('@');
  const name = at < 0 ? reference : reference.slice(0, at);
  const version = at < 0 ? 'latest' : reference.slice(at + 1);
  if (name === '' || version === '')
    throw new UsageError(`'${reference}' is not a name, such as acme/support@v2.`);
  await assertFree(directory);
  let progress = null as Progress | null;
  try {
    const release = await client.download(name, version, (archive) =>
      unpack(archive, directory, (bytes) => {
        progress = new Progress(stderr, bytes, undefined, FETCHING);
        return progress;
      }),
    );
    progress?.end();
    return told(release, () => `${release.name}@${release.release} is in ${directory} now.\n`);
  } catch (error) {
    progress?.end();
    throw error;
  }
}
