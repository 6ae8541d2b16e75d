import type { CheckedFolder } from '../peft/directory.ts';
import { type Database, inTurn } from './database.ts';

/** Rows in one statement: databases limit how many values it may have. */
const AT_ONCE = 200;

/** What is remembered of a directory's folders, by name: so that a start need not read gigabytes again. */
export async function checkedBefore(
  database: Database,
  directory: string,
): Promise<Map<string, CheckedFolder>> {
  const rows = await database
    .selectFrom('checked_folder')
    .selectAll()
    .where('directory', '=', directory)
    .execute();
  return new Map(rows.map(({ directory: _, ...folder }) => [folder.name, folder]));
}

/** Remembers these, and forgets all others of the directory. */
export async function rememberChecked(
  database: Database,
  directory: string,
  folders: readonly CheckedFolder[],
): Promise<void> {
  await inTurn(database, async (transaction) => {
    await transaction.deleteFrom('checked_folder').where('directory', '=', directory).execute();
    for (let from = 0; from < folders.length; from += AT_ONCE) {
      const rows = folders.slice(from, from + AT_ONCE).map((folder) => ({ directory, ...folder }));
      await transaction.insertInto('checked_folder').values(rows).execute();
    }
  });
}
