import type { AdminClient, Details, Grantee } from './client.ts';
import { clientOf } from './client-of.ts';
import { type Invocation, readArguments } from './commands.ts';
import { confirm } from './confirm.ts';
import { UsageError } from './errors.ts';
import { importAdapter, importsText, readToken } from './imports.ts';
import { pull } from './pull.ts';
import { push } from './push.ts';
import type { Surroundings } from './surroundings.ts';
import { tellingOf } from './telling.ts';
import { byteText, table, timeText } from './text.ts';
import { compare, comparisonRows, findRelease, ranksText } from './versions.ts';

/** Enough to tell versions apart, and `diff` and `pin` take it. */
const SHORT_DIGEST = 12;
const DIGEST = /^(?:sha256:)?([0-9a-f]{64})$/;

/** Does what follows `polylora adapters`, and returns what is to be printed. @throws UsageError, CommandError */
export async function runAdapters(args: readonly string[], surroundings: Surroundings): Promise<string> {
  const invocation = readArguments(args);
  return 'help' in invocation ? invocation.help : run(invocation, surroundings);
}

async function run(invocation: Invocation, surroundings: Surroundings): Promise<string> {
  const { command, positionals, text, has } = invocation;
  const [name = '', second = '', third = ''] = positionals;
  const told = tellingOf(invocation);
  if (command === 'compress') {
    // Loaded only now: the others need no engine.
    const { compress, compressionText } = await import('./compress.ts');
    const report = await compress(invocation, surroundings.env, surroundings.stderr);
    return told(report, () => compressionText(text('out') ?? '', report));
  }
  const client = clientOf(invocation, surroundings);
  switch (command) {
    case 'push':
      return push(client, invocation, surroundings, told);
    case 'pull':
      return pull(client, invocation, surroundings, told);
    case 'import':
      return importAdapter(client, invocation, surroundings.stderr, told);
    case 'imports': {
      const { json, value } = await client.imports();
      return told(json, () => importsText(value));
    }
    case 'cancel': {
      const { json, value } = await client.cancel(name);
      return told(json, () => `The import of ${value.name} is cancelled.\n`);
    }
    case 'token': {
      const token = has('remove') ? null : await readToken(surroundings.stdin);
      const { json } = await client.setHubToken(token);
      return told(json, () =>
        token === null ? 'The server has no token of yours any more.\n' : 'The server has the token.\n',
      );
    }
    case 'ls': {
      const { json, value } = await client.list();
      const rows = value.map(({ name, owner, digest, kind, bytes, created, moved }) => [
        name,
        owner,
        digest.slice(0, SHORT_DIGEST),
        kind,
        byteText(bytes),
        timeText(created * 1000),
        timeText(moved * 1000),
      ]);
      return told(json, () =>
        rows.length === 0
          ? 'There are no adapters in the store yet. polylora adapters push sends one.\n'
          : table([['NAME', 'OWNER', 'LATEST', 'KIND', 'SIZE', 'CREATED', 'CHANGED'], ...rows]),
      );
    }
    case 'show': {
      const { json, value } = await client.show(name);
      return told(json, () => detailsText(value));
    }
    case 'diff': {
      const { value } = await client.show(name);
      const [a, b] = [findRelease(value, second), findRelease(value, third)];
      const comparisons = compare(a, b);
      const different = comparisons.filter(({ a, b }) => a !== b).map(({ field }) => field);
      const end =
        different.length === 0
          ? `${second} and ${third} are the same version.`
          : `Different: ${different.join(', ')}.`;
      return told(
        { name, a, b, different },
        () => `${table(comparisonRows([second, third], comparisons))}\n${end}\n`,
      );
    }
    case 'tag':
      return told(
        await client.tag(name, second, third),
        () => `${name}@${second} is ${name}@${third} now.\n`,
      );
    case 'untag':
      return told(await client.untag(name, second), () => `${name}@${second} is gone.\n`);
    case 'grant':
    case 'revoke': {
      const grantee = granteeOf(text('tenant'), text('key'), command);
      const [kind, id] = Object.entries(grantee)[0] ?? [];
      const who = id === '*' ? 'everybody' : `${kind} ${id}`;
      const words = command === 'grant' ? `may use ${name} now` : `has no grant for ${name} any more`;
      return told(await client.grant(name, grantee, command === 'grant'), () => `${who} ${words}.\n`);
    }
    case 'pin':
    case 'unpin': {
      const pinned = command === 'pin';
      const digest = await digestOf(client, name, second);
      return told(
        await client.pin(name, digest, pinned),
        () => `${digest} ${pinned ? 'is kept whatever stands for it' : 'may be collected again'}.\n`,
      );
    }
    case 'rm': {
      if (!has('yes')) await confirm(`Remove ${name} with its tags, releases and grants?`, surroundings);
      const { json, value } = await client.remove(name);
      const versions = value.length === 1 ? '1 version' : `${value.length} versions`;
      return told(json, () => `Removed ${name}, and ${versions} that no other name has.\n`);
    }
  }
}

function detailsText({ name, owner, tags, releases, grants }: Details): string {
  const head = [
    ['name', name],
    ['owner', owner],
    ['grants', grants.length === 0 ? 'none' : grants.map(grantText).join(', ')],
  ];
  const rows = releases.map(({ release, digest, bytes, created, kind, ranks, pinned, note }) => {
    const own = Object.keys(tags).filter((tag) => tags[tag] === digest);
    return [
      release,
      own.join(', ') || '-',
      byteText(bytes),
      timeText(created * 1000),
      kind,
      ranksText(ranks) || '-',
      pinned ? 'yes' : '-',
      digest,
      note ?? '',
    ];
  });
  const titles = ['RELEASE', 'TAGS', 'SIZE', 'CREATED', 'KIND', 'RANKS', 'PINNED', 'DIGEST', 'NOTE'];
  return `${table(head)}\n${table([titles, ...rows])}`;
}

function grantText({ kind, grantee }: Details['grants'][number]): string {
  return grantee === '*' ? 'everybody' : `${kind} ${grantee}`;
}

function granteeOf(tenant: string | undefined, key: string | undefined, command: string): Grantee {
  if (tenant !== undefined && key === undefined) return { tenant };
  if (tenant === undefined && key !== undefined) return { key };
  throw new UsageError(`Give either --tenant or --key. Try: polylora adapters ${command} --help.`);
}

async function digestOf(client: AdminClient, name: string, version: string): Promise<string> {
  const [, digest] = DIGEST.exec(version) ?? [];
  return digest ?? findRelease((await client.show(name)).value, version).digest;
}
