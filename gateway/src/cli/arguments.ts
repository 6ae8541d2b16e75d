/** Reads a command line whose first word is a command, and writes the help of such commands. */
import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';

export interface OptionSpec {
  readonly name: string;
  /** null: it has none. */
  readonly value: string | null;
  readonly many?: boolean;
  readonly help: string;
}

export interface CommandSpec {
  readonly positionals: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly help: string;
  /** It asks no server. */
  readonly local?: boolean;
  /** Further paragraphs for its own help. */
  readonly more?: string;
}

/** What `polylora <program>` can be asked for. */
export interface Program<Name extends string> {
  readonly name: string;
  /** What it is for, in a sentence. */
  readonly help: string;
  readonly commands: Readonly<Record<Name, CommandSpec>>;
}

const JSON_OPTION: OptionSpec = { name: 'json', value: null, help: 'prints what the API answers, as JSON' };
const COMMON: readonly OptionSpec[] = [
  { name: 'url', value: 'address', help: 'the server [POLYLORA_URL, else http://127.0.0.1:8080]' },
  JSON_OPTION,
];
const LOCAL: readonly OptionSpec[] = [{ ...JSON_OPTION, help: 'prints the report as JSON' }];

/** A command line that is one. */
export interface Invocation<Name extends string = string> {
  readonly command: Name;
  /** As many as the command has. */
  readonly positionals: readonly string[];
  readonly text: (option: string) => string | undefined;
  readonly texts: (option: string) => readonly string[];
  readonly has: (option: string) => boolean;
}

/** Reads what follows `polylora <program>`: an invocation, or the help that was asked for. @throws UsageError */
export function readInvocation<Name extends string>(
  program: Program<Name>,
  args: readonly string[],
): Invocation<Name> | { readonly help: string } {
  refuseKeys(args);
  const [command, ...rest] = args;
  const all = `polylora ${program.name}`;
  if (command === '--help' || command === '-h' || command === 'help') return { help: programHelp(program) };
  if (command === undefined) throw new UsageError(`A command is needed. Try: ${all} --help.`);
  if (!isCommand(program, command)) {
    const problem = command.startsWith('-')
      ? 'Options come after the command'
      : `There is no command '${command}'`;
    throw new UsageError(`${problem}. Try: ${all} --help.`);
  }
  return readCommand(`${all} ${command}`, command, program.commands[command], rest);
}

/**
 * Reads what follows a command, or the help that was asked for.
 * @param words that it is called by
 * @throws UsageError
 */
export function readCommand<Name extends string>(
  words: string,
  command: Name,
  spec: CommandSpec,
  args: readonly string[],
): Invocation<Name> | { readonly help: string } {
  if (args.includes('--help') || args.includes('-h')) return { help: commandHelp(words, spec) };
  const hint = `Try: ${words} --help.`;
  if (args.some((arg) => /^--operator-key(=|$)/.test(arg))) {
    throw new UsageError(
      'Arguments show in the list of processes: set POLYLORA_OPERATOR_KEY to the operator key instead.',
    );
  }
  const { values, positionals } = parse(args, allOptions(spec), hint);
  if (positionals.length !== spec.positionals.length) {
    throw new UsageError(`Usage: ${usage(words, spec)}\n${hint}`);
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

/** Before anything is said of them: a message that repeats one has it in a log, or on a screen. @throws UsageError */
function refuseKeys(args: readonly string[]): void {
  if (args.some((arg) => /plk_[\w-]{8}/.test(arg))) {
    throw new UsageError(
      'An argument is the text of an API key, which nothing takes and which shows in the list of processes. Keys are named by their ids: polylora keys ls lists them.',
    );
  }
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function parse(args: readonly string[], options: readonly OptionSpec[], hint: string) {
  const config = options.map(({ name, value, many = false }) => [
    name,
    { type: value === null ? ('boolean' as const) : ('string' as const), multiple: many },
  ]);
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
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

function isCommand<Name extends string>({ commands }: Program<Name>, text: string): text is Name {
  return Object.hasOwn(commands, text);
}

function programHelp<Name extends string>({ name, help, commands }: Program<Name>): string {
  const rows = Object.entries<CommandSpec>(commands).map(([command, { positionals, help: what }]) => [
    [command, ...positionals.map((each) => `<${each}>`)].join(' '),
    what,
  ]);
  return `${help}

Usage:
  polylora ${name} <command> [options]

Commands:
${columns(rows)}
Options of every command that asks a server:
${columns(COMMON.map(optionRow))}
The key of an operator, or of a tenant's administrator, is read from POLYLORA_OPERATOR_KEY.
polylora ${name} <command> --help tells more.
`;
}

function commandHelp(words: string, spec: CommandSpec): string {
  const { help, more, local } = spec;
  const text = more === undefined ? '' : `\n${more}\n`;
  const key = local
    ? ''
    : "\nThe key of an operator, or of a tenant's administrator, is read from POLYLORA_OPERATOR_KEY.\n";
  return `${words}: ${help}.

Usage:
  ${usage(words, spec)}

Options:
${columns(allOptions(spec).map(optionRow))}${text}${key}`;
}

function usage(words: string, { positionals, options }: CommandSpec): string {
  const all = [words, ...positionals.map((each) => `<${each}>`)];
  return `${all.join(' ')}${options.length === 0 ? '' : ' [options]'}`;
}

function optionRow({ name, value, help }: OptionSpec): string[] {
  return [value === null ? `--${name}` : `--${name} <${value}>`, help];
}

function columns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([first = '']) => first.length));
  return rows.map(([first = '', second = '']) => `  ${first.padEnd(width)}  ${second}\n`).join('');
}
