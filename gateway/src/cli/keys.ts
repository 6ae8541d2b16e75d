import { z } from 'zod';
import { allPages } from './all-pages.ts';
import { type CommandSpec, readInvocation } from './arguments.ts';
import { clientOf } from './client-of.ts';
import { confirm } from './confirm.ts';
import { UsageError } from './errors.ts';
import type { Surroundings } from './surroundings.ts';
import { tellingOf } from './telling.ts';
import {
  given,
  LIMIT_OPTIONS,
  limitsOf,
  MODEL_OPTION,
  modelsOf,
  SPEND_OPTIONS,
  secondsOf,
  spendQuery,
} from './tenancy-options.ts';
import {
  allowanceRows,
  earlierText,
  keyJson,
  keysText,
  newKeyText,
  secretRows,
  spendJson,
  spendText,
  stateOf,
  understood,
} from './tenancy-text.ts';
import { table, timeText } from './text.ts';

const FIELDS = [
  { name: 'alias', value: 'text', help: 'what people call it' },
  {
    name: 'expires-in',
    value: 'time',
    help: "such as 30m, 12h, 30d or 2w, a date (2027-01-31, as it begins in UTC), or 'never'",
  },
  MODEL_OPTION,
  ...LIMIT_OPTIONS,
];

const COMMANDS = {
  ls: {
    positionals: [],
    options: [{ name: 'tenant', value: 'id', help: 'only those of this tenant' }],
    help: 'lists the keys, by how they begin',
  },
  show: { positionals: ['key'], options: [], help: 'shows what it may use' },
  create: {
    positionals: [],
    options: [
      { name: 'tenant', value: 'id', help: 'whose it is; your own unless told' },
      { name: 'role', value: 'role', help: 'user, admin (of its tenant) or operator; user unless told' },
      ...FIELDS,
    ],
    help: 'makes a key, and prints it this once',
  },
  set: { positionals: ['key'], options: FIELDS, help: 'changes what is given, and nothing else' },
  rotate: {
    positionals: ['key'],
    options: [
      { name: 'overlap', value: 'time', help: 'how long the earlier one still holds; 1d unless told' },
    ],
    help: 'gives it another text, and prints that this once',
  },
  block: {
    positionals: ['key'],
    options: [{ name: 'yes', value: null, help: 'does not ask where it is the key that is in use' }],
    help: 'refuses it, at once',
  },
  unblock: { positionals: ['key'], options: [], help: 'takes it again' },
  rm: {
    positionals: ['key'],
    options: [{ name: 'yes', value: null, help: 'does not ask; needed where there is no terminal' }],
    help: 'removes it, at once',
  },
  spend: { positionals: ['key'], options: SPEND_OPTIONS, help: 'says what it used' },
} as const satisfies Record<string, CommandSpec>;

/** Does what follows `polylora keys`, and returns what is to be printed. @throws UsageError, CommandError */
export async function runKeys(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const help =
    'Manages the API keys of a running server. A key is named by its id, such as key_mwt4nybk1a2b3c4d5e6f.';
  const invocation = readInvocation({ name: 'keys', help, commands: COMMANDS }, args);
  if ('help' in invocation) return invocation.help;
  const { command, positionals, text, has } = invocation;
  const [id = ''] = positionals;
  const used = surroundings.env.POLYLORA_OPERATOR_KEY?.trim() || null;
  if (id !== '' && id === used)
    throw new UsageError(
      'That is the text of the key in use. Keys are named by their ids: polylora keys ls lists them.',
    );
  const client = clientOf(invocation, surroundings);
  const told = tellingOf(invocation);
  const body = () => ({
    ...given('alias', text('alias')),
    ...given('expires', expiryOf(text('expires-in'))),
    ...given('models', modelsOf(invocation)),
    ...given('limits', limitsOf(invocation)),
  });
  switch (command) {
    case 'ls': {
      const tenant = text('tenant');
      const keys = await allPages(client, 'keys', tenant === undefined ? {} : { tenant });
      return told(keys, () => keysText(understood(z.array(keyJson), keys)));
    }
    case 'show': {
      const json = await client.request('GET', ['keys', id]);
      return told(json, () => keyText(json));
    }
    case 'create': {
      const about = { ...given('tenant', text('tenant')), ...given('role', text('role')) };
      const json = await client.request('POST', ['keys'], { body: { ...about, ...body() } });
      return told(json, () => newKeyText(understood(keyJson, json)));
    }
    case 'set': {
      const json = await client.request('PATCH', ['keys', id], { body: body() });
      return told(json, () => keyText(json));
    }
    case 'rotate': {
      const overlap = text('overlap');
      const seconds = overlap === undefined ? undefined : secondsOf(overlap, 'overlap');
      const json = await client.request('POST', ['keys', id, 'rotate'], {
        body: given('overlap_seconds', seconds),
      });
      return told(json, () => {
        const key = understood(keyJson, json);
        return `${newKeyText(key)}${earlierText(key)}`;
      });
    }
    case 'block':
    case 'unblock': {
      if (command === 'block' && !has('yes') && used !== null) {
        const { secrets } = understood(keyJson, await client.request('GET', ['keys', id]));
        // As much of its text as the server tells.
        if (secrets.some(({ prefix }) => used.startsWith(prefix))) {
          await confirm(
            `${id} is the key in use: once it is blocked, this command cannot unblock it. Block it?`,
            surroundings,
            {
              purpose: 'to block it',
              refused: 'Nothing was blocked.',
            },
          );
        }
      }
      const json = await client.request('POST', ['keys', id, command]);
      return told(json, () => `${id} is ${command === 'block' ? 'blocked' : 'open'} now.\n`);
    }
    case 'rm': {
      if (!has('yes')) await confirm(`Remove ${id}?`, surroundings);
      return told(await client.request('DELETE', ['keys', id]), () => `Removed ${id}.\n`);
    }
    case 'spend': {
      const json = await client.request('GET', ['keys', id, 'spend'], { query: spendQuery(invocation) });
      return told(json, () => spendText(understood(spendJson, json)));
    }
  }
}

/** Unix time in seconds; null: never. */
function expiryOf(value: string | undefined): number | null | undefined {
  if (value === undefined) return undefined;
  if (value === 'never') return null;
  const now = Math.floor(Date.now() / 1000);
  const [day] = /^\d{4}-\d\d-\d\d/.exec(value) ?? [];
  if (day === undefined) return now + secondsOf(value, 'expires-in');
  const at = Math.floor(Date.parse(value) / 1000);
  // The 30th of February is taken for a day of March.
  const isDay = !Number.isNaN(Date.parse(day)) && new Date(day).toISOString().startsWith(day);
  if (Number.isNaN(at) || !isDay)
    throw new UsageError(
      `--expires-in needs a time such as 30d, or a date such as 2027-01-31, and '${value}' is none.`,
    );
  if (at <= now) throw new UsageError(`--expires-in is a time to come, and ${value} is past.`);
  return at;
}

function keyText(json: unknown): string {
  const key = understood(keyJson, json);
  const { id, tenant, role, alias, expires, created } = key;
  return table([
    ['key', id],
    ['tenant', tenant],
    ['role', role],
    ['alias', alias ?? '-'],
    ...secretRows(key),
    ['state', stateOf(key)],
    ...allowanceRows(key),
    ['expires', expires === null ? 'never' : timeText(expires * 1000)],
    ['created', timeText(created * 1000)],
  ]);
}
