/** What `polylora adapters` can be asked for: its commands, their arguments and options, and the help made from them. */
import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';

interface OptionSpec {
  readonly name: string;
  /** null: it has none. */
  readonly value: string | null;
  readonly many?: boolean;
  readonly help: string;
}

interface CommandSpec {
  readonly positionals: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly help: string;
  /** It asks no server. */
  readonly local?: boolean;
  /** Further paragraphs for its own help. */
  readonly more?: string;
}

const GRANTEES: readonly OptionSpec[] = [
  { name: 'tenant', value: 'id', help: "a tenant; '*' is everybody" },
  { name: 'key', value: 'id', help: 'one API key, by its id' },
];
const VERSIONS =
  'A version is a release (v3), a tag (stable) or a digest, of which the first characters will do.';

const COMMANDS = {
  push: {
    positionals: ['dir'],
    options: [
      { name: 'name', value: 'name', help: 'what clients will call it, such as acme/support (required)' },
      { name: 'tag', value: 'tag', many: true, help: 'moves this tag to it, beside latest; may be repeated' },
      { name: 'note', value: 'text', help: 'what a reader of its history should know' },
      { name: 'parent', value: 'digest', help: 'the version that it was trained from' },
      { name: 'in-parts', value: null, help: 'resumes after a broken connection, as large ones always do' },
    ],
    help: 'sends a folder with adapter_config.json and adapter_model.safetensors',
    more:
      'It becomes the next release of its name, and its latest, at once. The same content as its newest\n' +
      'release changes only the tags. Nobody may use a new name until it is granted. Where a large one was broken off, the\n' +
      'same command again goes on with it.',
  },
  compress: {
    positionals: ['model'],
    options: [
      { name: 'base', value: 'model', help: 'the model that it was tuned from (required)' },
      { name: 'out', value: 'dir', help: 'where the adapter goes; not there yet (required)' },
      { name: 'size-target', value: 'times', help: 'how much smaller than float16, 1 to 8; 7 unless told' },
      { name: 'rank', value: 'rank', help: 'rank of the low-rank part, in place of a size' },
      {
        name: 'keep-base-embeddings',
        value: null,
        help: "goes on where embeddings, head or final norm differ, with the base's",
      },
      {
        name: 'keep-base-biases',
        value: null,
        help: 'the same for biases, and norms of queries and keys',
      },
    ],
    help: 'makes an adapter of a full fine-tune, on this machine',
    local: true,
    more:
      "A model is a folder of Hugging Face's, a .gguf file or an id (owner/name) on its hub. The fine-tune must have the\n" +
      'architecture and shapes of the base. What it changed in the seven projections of each layer is kept as a product of\n' +
      'low rank and a sparse matrix of two bits a weight, and what it changed in the norms before them exactly. Embeddings,\n' +
      'head, final norm, biases, and norms of queries and keys are not carried.',
  },
  pull: {
    positionals: ['name', 'dir'],
    options: [],
    help: 'fetches a version (acme/support@v2, or its latest) into a new folder',
    more: 'The folder can be pushed again as it is: its content has the same digest.',
  },
  import: {
    positionals: ['source'],
    options: [
      { name: 'name', value: 'name', help: 'what clients will call it, such as acme/support (required)' },
      { name: 'tag', value: 'tag', many: true, help: 'moves this tag to it, beside latest; may be repeated' },
      { name: 'note', value: 'text', help: 'what a reader of its history should know' },
      { name: 'detach', value: null, help: 'does not wait for it; imports says how far it is' },
    ],
    help: 'has the server fetch it from the Hugging Face hub or from S3',
    more:
      'A source is hf:owner/name, hf:owner/name@revision or s3://bucket/prefix. The revision is pinned to its commit.\n' +
      'Only adapter_config.json and adapter_model.safetensors are fetched. To stop waiting is not to stop the import:\n' +
      'cancel does that.',
  },
  imports: { positionals: [], options: [], help: 'lists imports, the newest first' },
  cancel: { positionals: ['import'], options: [], help: 'stops an import, by its id' },
  token: {
    positionals: [],
    options: [{ name: 'remove', value: null, help: 'has the server forget it' }],
    help: 'gives the server a token for the Hugging Face hub, read from standard input',
    more:
      'It is kept encrypted, and never shown again: polylora adapters token < token-file. What is private or gated on\n' +
      'the hub needs one.',
  },
  ls: { positionals: [], options: [], help: 'lists all adapters' },
  show: { positionals: ['name'], options: [], help: 'shows its tags, grants and releases' },
  diff: {
    positionals: ['name', 'version', 'version'],
    options: [],
    help: 'says in what two versions differ',
    more: VERSIONS,
  },
  tag: {
    positionals: ['name', 'tag', 'version'],
    options: [],
    help: 'moves a tag to a version, at once',
    more: 'A version is a release (v3), another tag, or sha256: and a digest.',
  },
  untag: { positionals: ['name', 'tag'], options: [], help: 'takes a tag away' },
  grant: { positionals: ['name'], options: GRANTEES, help: 'lets a tenant or a key use it' },
  revoke: { positionals: ['name'], options: GRANTEES, help: 'takes a grant back, at once' },
  pin: {
    positionals: ['name', 'version'],
    options: [],
    help: 'keeps a version that no tag stands for',
    more: VERSIONS,
  },
  unpin: {
    positionals: ['name', 'version'],
    options: [],
    help: 'lets it be collected again',
    more: VERSIONS,
  },
  rm: {
    positionals: ['name'],
    options: [{ name: 'yes', value: null, help: 'does not ask; needed where there is no terminal' }],
    help: 'removes it with its tags, releases and grants',
  },
} as const satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof COMMANDS;

const JSON_OPTION: OptionSpec = { name: 'json', value: null, help: 'prints what the API answers, as JSON' };
const COMMON: readonly OptionSpec[] = [
  { name: 'url', value: 'address', help: 'the server [POLYLORA_URL, else http://127.0.0.1:8080]' },
  JSON_OPTION,
];
const LOCAL: readonly OptionSpec[] = [{ ...JSON_OPTION, help: 'prints the report as JSON' }];

/** A command line that is one. */
export interface Invocation {
  readonly command: CommandName;
  /** As many as the command has. */
  readonly positionals: readonly string[];
  readonly text: (option: string) => string | undefined;
  readonly texts: (option: string) => readonly string[];
  readonly has: (option: string) => boolean;
}

/** Reads what follows `polylora adapters`: an invocation, or the help that was asked for. @throws UsageError */
export function readArguments(args: readonly string[]): Invocation | { readonly help: string } {
  const [command, ...rest] = args;
  if (command === '--help' || command === '-h' || command === 'help') return { help: adaptersHelp() };
  if (command === undefined) throw new UsageError('A command is needed. Try: polylora adapters --help.');
  if (!isCommand(command)) {
    const problem = command.startsWith('-')
      ? 'Options come after the command'
      : `There is no command '${command}'`;
    throw new UsageError(`${problem}. Try: polylora adapters --help.`);
  }
  const spec: CommandSpec = COMMANDS[command];
  if (rest.includes('--help') || rest.includes('-h')) return { help: commandHelp(command) };
  const hint = `Try: polylora adapters ${command} --help.`;
  if (rest.some((arg) => /^--operator-key(=|$)/.test(arg))) {
    throw new UsageError(
      'Arguments show in the list of processes: set POLYLORA_OPERATOR_KEY to the operator key instead.',
    );
  }
  const { values, positionals } = parse(rest, allOptions(spec), hint);
  if (positionals.length !== spec.positionals.length) {
    throw new UsageError(`Usage: ${usage(command)}\n${hint}`);
  }
  for (const value of [...positionals, ...Object.values(values).flat()]) {
    if (value === '') throw new UsageError(`An argument is empty. ${hint}`);
  }
  return {
    command,
    positionals,
    text: (option) => values[option]?.toString(),
    texts: (option) => [values[option] ?? []].flat().map(String),
    has: (option) => values[option] !== undefined,
  };
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function parse(args: string[], options: readonly OptionSpec[], hint: string) {
  const config = options.map(({ name, value, many = false }) => [
    name,
    { type: value === null ? ('boolean' as const) : ('string' as const), multiple: many },
  ]);
  try {
    const { values, positionals } = parseArgs({
      args,
      options: Object.fromEntries(config),
      allowPositionals: true,
    });
    return { values: values as Values, positionals };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Node's first sentence says it; the others are about how to write odd arguments.
    throw new UsageError(`${message.split(/[.\n]/, 1)[0]}. ${hint}`);
  }
}

function allOptions({ options, local }: CommandSpec): readonly OptionSpec[] {
  return [...options, ...(local ? LOCAL : COMMON)];
}

function isCommand(text: string): text is CommandName {
  return Object.hasOwn(COMMANDS, text);
}

function adaptersHelp(): string {
  const rows = Object.entries(COMMANDS).map(([name, { positionals, help }]) => [
    [name, ...positionals.map((each) => `<${each}>`)].join(' '),
    help,
  ]);
  return `Manages the adapters of a running server.

Usage:
  polylora adapters <command> [options]

Commands:
${columns(rows)}
Options of every command that asks a server:
${columns(COMMON.map(optionRow))}
The server's operator key is read from POLYLORA_OPERATOR_KEY. polylora adapters <command> --help tells more.
`;
}

function commandHelp(command: CommandName): string {
  const spec: CommandSpec = COMMANDS[command];
  const { help, more, local } = spec;
  const text = more === undefined ? '' : `\n${more}\n`;
  const key = local ? '' : "\nThe server's operator key is read from POLYLORA_OPERATOR_KEY.\n";
  return `polylora adapters ${command}: ${help}.

Usage:
  ${usage(command)}

Options:
${columns(allOptions(spec).map(optionRow))}${text}${key}`;
}

function usage(command: CommandName): string {
  const { positionals, options }: CommandSpec = COMMANDS[command];
  const words = positionals.map((each) => `<${each}>`);
  return `polylora adapters ${[command, ...words].join(' ')}${options.length === 0 ? '' : ' [options]'}`;
}

function optionRow({ name, value, help }: OptionSpec): string[] {
  return [value === null ? `--${name}` : `--${name} <${value}>`, help];
}

function columns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([first = '']) => first.length));
  return rows.map(([first = '', second = '']) => `  ${first.padEnd(width)}  ${second}\n`).join('');
}
