import { type CommandSpec, type Invocation, type OptionSpec, readInvocation } from './arguments.ts';
import { entriesJson, entriesText, purgeJson, sizeText, statusJson, statusText } from './cache-text.ts';
import { clientOf } from './client-of.ts';
import { confirm } from './confirm.ts';
import { UsageError } from './errors.ts';
import type { Surroundings } from './surroundings.ts';
import { tellingOf } from './telling.ts';
import { understood } from './tenancy-text.ts';

const TENANT: OptionSpec = { name: 'tenant', value: 'id', help: 'only those of this tenant' };
const FILTERS: readonly OptionSpec[] = [
  TENANT,
  { name: 'model', value: 'name', help: 'only those of this model, by the name that it was asked for' },
  { name: 'root', value: 'digest', help: 'only those of these weights, by any name' },
  { name: 'category', value: 'name', help: 'only those of this category' },
  { name: 'tag', value: 'tag', help: 'only those with this tag' },
];

const PURGE_FILTERS: readonly OptionSpec[] = [
  { name: 'id', value: 'entry', help: 'only this entry' },
  ...FILTERS,
];

const COMMANDS = {
  status: { positionals: [], options: [TENANT], help: 'says what it has, and what it costs and saves' },
  entries: {
    positionals: [],
    options: [
      ...FILTERS,
      { name: 'questions', value: null, help: 'shows what was asked, which is a part of prompts' },
      { name: 'limit', value: 'number', help: 'how many, 100 unless told' },
      { name: 'after', value: 'entry', help: 'those before this one, to go on from the last of a list' },
    ],
    help: 'lists entries, the newest first',
  },
  purge: {
    positionals: [],
    options: [
      ...PURGE_FILTERS,
      { name: 'all', value: null, help: 'all that there are; needed where nothing else is said' },
      { name: 'dry-run', value: null, help: 'only says how much it would be' },
      { name: 'yes', value: null, help: 'does not ask; needed where there is no terminal' },
    ],
    help: 'takes entries out, at once',
    more: 'Entries that match all that is given are gone from this server at once, and from others of its store within a second.',
  },
  report: {
    positionals: ['entry'],
    options: [],
    help: 'says that an answer was wrong',
    more: "The entry is named by the 'id' of the answer's x-polylora-cache header. It is taken out, and counts as a wrong hit.",
  },
} as const satisfies Record<string, CommandSpec>;

/** Does what follows `polylora cache`, and returns what is to be printed. @throws UsageError, CommandError */
export async function runCache(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const help = 'Looks into the answer cache of a running server, and takes out what is in it.';
  const invocation = readInvocation({ name: 'cache', help, commands: COMMANDS }, args);
  if ('help' in invocation) return invocation.help;
  const { command, positionals, has } = invocation;
  const client = clientOf(invocation, surroundings);
  const told = tellingOf(invocation);
  switch (command) {
    case 'status': {
      const query = new URLSearchParams(given(invocation, ['tenant']));
      const json = await client.request('GET', ['cache'], { query });
      return told(json, () => statusText(understood(statusJson, json)));
    }
    case 'entries': {
      const query = new URLSearchParams(given(invocation, [...namesOf(FILTERS), 'limit', 'after']));
      if (has('questions')) query.set('questions', 'true');
      const json = await client.request('GET', ['cache', 'entries'], { query });
      return told(json, () => entriesText(understood(entriesJson, json)));
    }
    case 'purge': {
      const filter = given(invocation, namesOf(PURGE_FILTERS));
      const isFiltered = Object.keys(filter).length > 0;
      if (isFiltered === has('all')) {
        throw new UsageError(
          isFiltered
            ? '--all takes out everything, and goes with no other choice.'
            : 'Say which: by --id, --tenant, --model, --root, --category or --tag, or --all.',
        );
      }
      const body = { ...filter, ...(isFiltered ? {} : { all: true }) };
      const purge = (isDryRun: boolean) =>
        client.request('POST', ['cache', 'purge'], { body: { ...body, dry_run: isDryRun } });
      if (has('dry-run')) {
        const json = await purge(true);
        return told(json, () => `Would remove ${sizeText(understood(purgeJson, json))}.\n`);
      }
      if (!has('yes')) {
        const found = sizeText(understood(purgeJson, await purge(true)));
        await confirm(`Remove ${found} from the cache?`, surroundings);
      }
      const json = await purge(false);
      return told(json, () => `Removed ${sizeText(understood(purgeJson, json))}.\n`);
    }
    case 'report': {
      const [id = ''] = positionals;
      const json = await client.request('POST', ['cache', 'entries', id, 'report']);
      return told(json, () => `Reported ${id}: it is no answer any more.\n`);
    }
  }
}

function namesOf(options: readonly OptionSpec[]): readonly string[] {
  return options.map(({ name }) => name);
}

/** Those of the options that were given. */
function given({ text }: Invocation, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = text(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
