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
  numberOf,
  SPEND_OPTIONS,
  spendQuery,
} from './tenancy-options.ts';
import {
  allowanceRows,
  priceJson,
  spendJson,
  spendText,
  tenantJson,
  tenantsText,
  understood,
} from './tenancy-text.ts';
import { table, timeText } from './text.ts';

const FIELDS = [
  { name: 'name', value: 'text', help: 'what people call it' },
  { name: 'weight', value: 'number', help: "its share of the machine against others', 1 unless told" },
  {
    name: 'allow-priority',
    value: 'yes|no',
    help: "whether its requests may come first with 'service_tier'",
  },
  MODEL_OPTION,
  ...LIMIT_OPTIONS,
];

const COMMANDS = {
  ls: { positionals: [], options: [], help: 'lists all tenants' },
  show: { positionals: ['tenant'], options: [], help: 'shows what it may use' },
  create: { positionals: ['tenant'], options: FIELDS, help: 'makes a tenant; its id is never used again' },
  set: { positionals: ['tenant'], options: FIELDS, help: 'changes what is given, and nothing else' },
  block: { positionals: ['tenant'], options: [], help: 'refuses all of its keys, at once' },
  unblock: { positionals: ['tenant'], options: [], help: 'takes its keys again' },
  rm: {
    positionals: ['tenant'],
    options: [{ name: 'yes', value: null, help: 'does not ask; needed where there is no terminal' }],
    help: 'removes it with its keys',
  },
  spend: { positionals: ['tenant'], options: SPEND_OPTIONS, help: 'says what it used' },
  prices: { positionals: [], options: [], help: 'lists what a million tokens cost' },
  price: {
    positionals: ['model'],
    options: [
      { name: 'input', value: 'price', help: 'of a million tokens of prompts' },
      { name: 'output', value: 'price', help: 'of a million tokens of answers' },
      {
        name: 'cached-input',
        value: 'price',
        help: 'of prompts that were found in the cache; as input unless told',
      },
      { name: 'remove', value: null, help: 'has it cost nothing of its own any more' },
    ],
    help: "sets what a model costs: an adapter, 'acme/*', 'base' or '*'",
  },
} as const satisfies Record<string, CommandSpec>;

/** Does what follows `polylora tenants`, and returns what is to be printed. @throws UsageError, CommandError */
export async function runTenants(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const help = 'Manages the tenants of a running server, and what its models cost.';
  const invocation = readInvocation({ name: 'tenants', help, commands: COMMANDS }, args);
  if ('help' in invocation) return invocation.help;
  const { command, positionals, text, has } = invocation;
  const [id = ''] = positionals;
  const client = clientOf(invocation, surroundings);
  const told = tellingOf(invocation);
  const priority = text('allow-priority');
  if (priority !== undefined && priority !== 'yes' && priority !== 'no')
    throw new UsageError("--allow-priority is either 'yes' or 'no'.");
  const weight = text('weight');
  const body = () => ({
    ...given('name', text('name')),
    ...given('weight', weight === undefined ? undefined : numberOf(weight, 'weight')),
    ...given('allow_priority', priority === undefined ? undefined : priority === 'yes'),
    ...given('models', modelsOf(invocation)),
    ...given('limits', limitsOf(invocation)),
  });
  switch (command) {
    case 'ls': {
      const tenants = await allPages(client, 'tenants');
      return told(tenants, () => tenantsText(understood(z.array(tenantJson), tenants)));
    }
    case 'show': {
      const json = await client.request('GET', ['tenants', id]);
      return told(json, () => tenantText(json));
    }
    case 'create': {
      const json = await client.request('POST', ['tenants'], { body: { id, ...body() } });
      return told(json, () => tenantText(json));
    }
    case 'set': {
      const json = await client.request('PATCH', ['tenants', id], { body: body() });
      return told(json, () => tenantText(json));
    }
    case 'block':
    case 'unblock': {
      const blocked = command === 'block';
      const json = await client.request('PATCH', ['tenants', id], { body: { blocked } });
      return told(json, () => `${id} is ${blocked ? 'blocked' : 'open'} now.\n`);
    }
    case 'rm': {
      if (!has('yes')) await confirm(`Remove ${id} with its keys?`, surroundings);
      return told(await client.request('DELETE', ['tenants', id]), () => `Removed ${id}.\n`);
    }
    case 'spend': {
      const json = await client.request('GET', ['tenants', id, 'spend'], { query: spendQuery(invocation) });
      return told(json, () => spendText(understood(spendJson, json)));
    }
    case 'prices': {
      const json = await client.request('GET', ['prices']);
      return told(json, () => pricesText(json));
    }
    case 'price': {
      const prices = ['input', 'output', 'cached-input'];
      if (has('remove')) {
        const other = prices.find(has);
        if (other !== undefined)
          throw new UsageError(`--remove takes the price away, and --${other} sets one: give one of them.`);
        return told(
          await client.request('DELETE', ['prices', id]),
          () => `${id} has no price of its own any more, but where the configuration has one.\n`,
        );
      }
      const lacking = ['input', 'output'].filter((option) => !has(option)).map((option) => `--${option}`);
      if (lacking.length > 0)
        throw new UsageError(
          `${lacking.join(' and ')} must be given too: a price is of prompts and of answers.`,
        );
      const price = (option: string) => numberOf(text(option) ?? '', option);
      const cached = text('cached-input');
      const json = await client.request('PUT', ['prices', id], {
        body: {
          ...{ input: price('input'), output: price('output') },
          ...given('cached_input', cached === undefined ? undefined : price('cached-input')),
        },
      });
      return told(json, () => pricesText({ data: [json] }));
    }
  }
}

function tenantText(json: unknown): string {
  const tenant = understood(tenantJson, json);
  const { id, name, blocked, weight, allow_priority: priority, created } = tenant;
  return table([
    ['tenant', id],
    ['name', name ?? '-'],
    ['state', blocked ? 'blocked' : 'open'],
    ['weight', String(weight)],
    ['may come first', priority ? 'yes' : 'no'],
    ...allowanceRows(tenant),
    ['created', timeText(created * 1000)],
  ]);
}

function pricesText(json: unknown): string {
  const { data } = understood(z.object({ data: z.array(priceJson) }), json);
  if (data.length === 0) return 'Nothing costs anything.\n';
  const rows = data.map(({ model, input, cached_input: cached, output, source }) => [
    model,
    ...[input, cached, output].map(String),
    source === 'api' ? 'this API' : 'the configuration file',
  ]);
  return table([['MODEL', 'INPUT', 'CACHED', 'OUTPUT', 'SET BY'], ...rows]);
}
