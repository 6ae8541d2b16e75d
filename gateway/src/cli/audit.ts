import { z } from 'zod';
import { type CommandSpec, readCommand } from './arguments.ts';
import { clientOf } from './client-of.ts';
import { FoundWrong, UsageError } from './errors.ts';
import type { Surroundings } from './surroundings.ts';
import { tellingOf } from './telling.ts';
import { understood } from './tenancy-text.ts';
import { table, timeText } from './text.ts';

const FILTERS = [
  { name: 'tenant', value: 'id', help: 'only what keys of this tenant did' },
  {
    name: 'actor',
    value: 'actor',
    help: 'only what this one did, such as operator or acme/key_mwt4nybk1a2b3c4d5e6f',
  },
  { name: 'action', value: 'action', help: 'only this, such as key.create' },
  { name: 'subject', value: 'subject', help: 'only on this, such as key:key_mwt4nybk1a2b3c4d5e6f' },
  { name: 'limit', value: 'number', help: 'how many, 100 unless told' },
  { name: 'after', value: 'entry', help: 'those before this one, to go on from the last of a list' },
];

const COMMAND = {
  positionals: [],
  options: [
    { name: 'verify', value: null, help: 'checks instead that all entries are what was written' },
    ...FILTERS,
  ],
  help: 'lists what was done on a running server, the newest first',
  more:
    "It is for operators. With --verify the exit status is 1 where an entry was changed, put in or taken out. A log's end can be\n" +
    'cut off without a trace in the rest: note the last hash elsewhere, and compare.',
} satisfies CommandSpec;

const pageJson = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      created: z.number(),
      actor: z.string(),
      action: z.string(),
      subject: z.string(),
    }),
  ),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
const verificationJson = z.object({
  valid: z.boolean(),
  entries: z.number(),
  hash: z.string(),
  broken_at: z.string().nullable(),
});

/** Does what follows `polylora audit`, and returns what is to be printed. @throws UsageError, CommandError */
export async function runAudit(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const invocation = readCommand('polylora audit', 'audit', COMMAND, args);
  if ('help' in invocation) return invocation.help;
  const { text, has } = invocation;
  const query = new URLSearchParams();
  for (const { name } of FILTERS) {
    const value = text(name);
    if (value !== undefined) query.set(name, value);
  }
  if (has('verify') && query.size > 0)
    throw new UsageError('--verify checks the whole log, and goes with --json and --url only.');
  const client = clientOf(invocation, surroundings);
  const told = tellingOf(invocation);
  if (!has('verify')) {
    const json = await client.request('GET', ['audit'], { query });
    return told(json, () => entriesText(understood(pageJson, json)));
  }
  const json = await client.request('GET', ['audit', 'verify']);
  const { valid, entries, hash, broken_at: brokenAt } = understood(verificationJson, json);
  if (!valid) {
    const message = `Entry ${brokenAt} is not what was written, or is gone.${beforeText(entries, hash)}`;
    throw new FoundWrong(
      message,
      told(json, () => ''),
    );
  }
  return told(json, () => intactText(entries, hash));
}

function beforeText(entries: number, hash: string): string {
  if (entries === 0) return '';
  if (entries === 1) return ` The one before it is; it has the hash ${hash}.`;
  return ` Those before it are; the last has the hash ${hash}.`;
}

function intactText(entries: number, hash: string): string {
  if (entries === 0) return 'There are no entries.\n';
  if (entries === 1) return `The only entry is what was written; it has the hash ${hash}.\n`;
  return `All ${entries} entries are what was written; the last has the hash ${hash}.\n`;
}

function entriesText({ data, last_id: last, has_more: hasMore }: z.infer<typeof pageJson>): string {
  if (data.length === 0) return 'There is no such entry.\n';
  const rows = data.map(({ id, created, actor, action, subject }) => [
    id,
    timeText(created * 1000),
    actor,
    action,
    subject,
  ]);
  const more = hasMore ? `There are earlier ones: --after ${last}\n` : '';
  return table([['ENTRY', 'TIME', 'ACTOR', 'ACTION', 'SUBJECT'], ...rows]) + more;
}
