import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultHome } from '@polylora/engine';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { CATEGORY_FIELDS } from '../cache/categories/category-schema.ts';
import { hintAt } from './nearest.ts';
import {
  ALL_OPTIONS,
  CONFIG_OPTIONS,
  type Config,
  configSchema,
  FILE_OPTIONS,
  OPTION_SCHEMAS,
  PRICE_FIELDS,
} from './schema.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that is wrong with the configuration, each problem with where it came from. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'invalid_config';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Characters of a value that a message repeats. */
const MOST_SHOWN = 100;
/** Characters of an option's name, with room for mistakes. */
const MOST_NAME = 40;

const ALL_KEYS = ALL_OPTIONS.map(({ key }) => key);
/** What people look for in the file, and where it is. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ['tenants', '; tenants are made while the server runs, with polylora tenants create (docs/tenants.md)'],
  ['keys', '; keys are made while the server runs, with polylora keys create (docs/tenants.md)'],
]);
/** Variables that other parts read, and those that Kubernetes sets for a service of this name. */
const OTHER_VARIABLES = ['POLYLORA_CONFIG', 'POLYLORA_URL', 'POLYLORA_KERNEL_VARIANT'];
const FOREIGN_VARIABLES = /^POLYLORA_(TEST|BENCH|FUZZ|SERVICE|PORT_\d+)(_|$)/;

/** A value as some source gave it. */
interface Setting {
  readonly value: unknown;
  readonly origin: string;
}
type Settings = ReadonlyMap<string, Setting>;

/**
 * Reads the configuration: flags, then environment, then config file, then defaults. The result is frozen.
 * @param content of the file at a reload, where an empty one is refused: it may just be being written; null: it could not be read
 * @throws ConfigError with all problems of all sources.
 */
export function loadConfig(flags: readonly string[], env: Environment, content?: string | null): Config {
  const problems: string[] = [];
  const fromFlags = readFlags(flags, problems);
  const fromEnv = readEnvironment(env);
  const path = fileOf(fromFlags.config, env);
  const fromFile = path === null ? new Map<string, Setting>() : readConfigFile(path, content, problems);

  // It is meant for other programs too: one of another kind is none of our problems.
  const hubToken = env.HF_TOKEN?.startsWith('hf_') ? env.HF_TOKEN : undefined;
  const settings: Settings = new Map<string, Setting>([
    ['home', { value: defaultHome(env), origin: 'default' }],
    ...(hubToken === undefined ? [] : [['hubToken', { value: hubToken, origin: 'HF_TOKEN' }] as const]),
    ...fromFile,
    ...fromEnv,
    ...fromFlags.settings,
  ]);
  const input = Object.fromEntries([...settings].map(([key, { value }]) => [key, value]));
  const parsed = configSchema.safeParse(input, { reportInput: true });
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap((issue) => describe(issue, settings)));
  problems.push(...maskedProblems(fromFile, settings));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return parsed.data;
}

/** The file that the configuration is read from, or null where none is named. */
export function configFile(flags: readonly string[], env: Environment): string | null {
  return fileOf(readFlags(flags, []).config, env);
}

/** A warning for each variable that looks like one of ours and is none. Without its value, which may be a secret. */
export function unknownVariables(env: Environment): string[] {
  const known = [...CONFIG_OPTIONS.map((option) => option.env), ...OTHER_VARIABLES];
  return Object.keys(env)
    .filter((name) => name.startsWith('POLYLORA_') && !known.includes(name) && !FOREIGN_VARIABLES.test(name))
    .filter((name) => nonEmpty(env[name]) !== undefined)
    .map((name) => `the environment variable ${name} is none of this server${hintAt(name, known)}`);
}

function fileOf(flag: string | undefined, env: Environment): string | null {
  return flag ?? nonEmpty(env.POLYLORA_CONFIG) ?? null;
}

function readFlags(args: readonly string[], problems: string[]) {
  const settings = new Map<string, Setting>();
  let config: string | undefined;
  const options = Object.fromEntries(
    [...CONFIG_OPTIONS.map(({ flag }) => flag), '--config'].map((flag) => [
      flag.slice(2),
      { type: 'string' as const },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    // What stands there may be a secret that missed its place.
    if (token.kind === 'positional') {
      const option = CONFIG_OPTIONS.find(({ key, flag }) => [key, flag.slice(2)].includes(token.value));
      problems.push(
        `${option?.flag.slice(2) ?? `argument ${token.index + 1}`}: not an option; options start with --`,
      );
    }
    if (token.kind !== 'option') continue;
    const option = CONFIG_OPTIONS.find(({ flag }) => flag === `--${token.name}`);
    if (option === undefined && token.name !== 'config') {
      const names = CONFIG_OPTIONS.map(({ flag }) => flag);
      const hint = FILE_OPTIONS.some(({ key }) => key === token.name)
        ? '; it is set in the config file'
        : hintAt(`--${token.name}`, names);
      problems.push(
        `${isName(token.name) ? token.rawName : 'an argument'}: unknown option${hint} (polylora --help lists them)`,
      );
    } else if (token.value === undefined || token.value === '') {
      problems.push(`${token.rawName}: needs a value`);
    } else if (option === undefined) {
      config = token.value;
    } else {
      settings.set(option.key, { value: fromText(token.value, option.isNumber), origin: option.flag });
    }
  }
  return { settings, config };
}

/** An empty variable counts as unset, as Compose files and CI systems write it. */
function readEnvironment(env: Environment): Settings {
  const settings = new Map<string, Setting>();
  for (const { key, env: name, isNumber } of CONFIG_OPTIONS) {
    const value = nonEmpty(env[name]);
    if (value !== undefined) settings.set(key, { value: fromText(value, isNumber), origin: name });
  }
  return settings;
}

function readConfigFile(path: string, known: string | null | undefined, problems: string[]): Settings {
  let source: string;
  try {
    source = known ?? readFileSync(path, 'utf8');
    if (known === null) throw new Error('it could not be read a moment ago');
  } catch (error) {
    problems.push(`config file ${path}: ${error instanceof Error ? error.message : String(error)}`);
    return new Map();
  }
  const isJson = extname(path) === '.json';
  let content: unknown;
  try {
    content = isJson ? JSON.parse(source) : parseYaml(source, { prettyErrors: false });
  } catch (error) {
    const where = placeOf(error, source);
    problems.push(`config file ${path}: not valid ${isJson ? 'JSON' : 'YAML'}${where}`);
    return new Map();
  }
  // An empty YAML document is null. Editors empty a file before they write it.
  if (known !== undefined && content == null) {
    problems.push(`config file ${path}: the file is empty; write {} where no option is meant to be set`);
    return new Map();
  }
  if (typeof (content ?? {}) !== 'object' || Array.isArray(content)) {
    problems.push(`config file ${path}: expected a mapping of options at the top`);
    return new Map();
  }
  return new Map(
    Object.entries(content ?? {}).map(([key, value]) => [key, { value, origin: `config file ${path}` }]),
  );
}

/** Where a parser failed, and its code for why. Not its words: they repeat what is there, which may be a key. */
function placeOf(error: unknown, source: string): string {
  const { pos, code, message } = error as { pos?: readonly number[]; code?: unknown; message?: unknown };
  const at = pos?.[0] ?? Number(/ at position (\d+)/.exec(String(message))?.[1] ?? Number.NaN);
  const why = typeof code === 'string' ? ` (${code.toLowerCase().replaceAll('_', ' ')})` : '';
  if (Number.isNaN(at)) return why;
  const lines = source.slice(0, at).split('\n');
  return ` at line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}${why}`;
}

/** Text that is not a number stays text, so that the schema reports it as it was written. */
function fromText(value: string, isNumber: boolean): string | number {
  if (!isNumber || value.trim() === '') return value;
  const number = Number(value);
  return Number.isNaN(number) ? value : number;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** What is wrong in the file with values that do not count now: they would once the flag or variable before them is gone. */
function maskedProblems(fromFile: Settings, settings: Settings): string[] {
  const problems: string[] = [];
  for (const [key, setting] of fromFile) {
    const schema = OPTION_SCHEMAS.get(key);
    if (schema === undefined || settings.get(key) === setting) continue;
    const { error } = schema.safeParse(setting.value, { reportInput: true });
    for (const issue of error?.issues ?? [])
      problems.push(...describe({ ...issue, path: [key, ...issue.path] }, fromFile));
  }
  return problems;
}

function describe(issue: z.core.$ZodIssue, settings: Settings): string[] {
  const named = (path: readonly PropertyKey[]) =>
    `${path.map(String).join('.')} (from ${settings.get(String(path[0]))?.origin ?? 'default'})`;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      return path.length === 1 && !isName(key)
        ? `an option whose name is none (from ${settings.get(key)?.origin ?? 'default'}): unknown option`
        : `${named(path)}: unknown option${hintAtKey(path.map(String))}`;
    });
  const [key = '', ...rest] = issue.path;
  return [`${named([key, ...rest])}: ${issue.message}${shown(issue.path, issue.input)}`];
}

/**
 * What was given, as far as it can be told: a value by itself, of an option that is no secret. Objects may hold all of the
 * configuration, and addresses a password.
 */
function shown([key, ...rest]: readonly PropertyKey[], input: unknown): string {
  // Text within fields has no place there, so nobody knows what it is.
  if (rest.length > 0 && typeof input !== 'number') return '';
  const isSecret = ALL_OPTIONS.every((option) => option.key !== key || option.isSecret);
  if (isSecret || input === undefined) return '';
  if (typeof input === 'object' && input !== null)
    return `, got ${Array.isArray(input) ? 'a list' : 'fields'}`;
  const text = String(input);
  if (text.length > MOST_SHOWN || /@|:\/\/|plk_|hf_/.test(text)) return '';
  return `, got ${JSON.stringify(input)}`;
}

/** What the entries of options that have several may say. */
const FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['prices', PRICE_FIELDS],
  ['cacheCategories', CATEGORY_FIELDS],
]);

/** What to do instead of an option that is unknown. */
function hintAtKey(path: readonly string[]): string {
  const [key = ''] = path;
  if (path.length > 1) return hintAt(path.at(-1) ?? '', FIELDS.get(key) ?? []);
  return ELSEWHERE.get(key.toLowerCase()) ?? hintAt(key, ALL_KEYS);
}

/** Whether it may be repeated: what is written like an option. `operatorKey=secret` is not. */
function isName(key: string): boolean {
  return key.length <= MOST_NAME && /^[a-z][\w-]*$/i.test(key) && !/plk_|hf_/.test(key);
}
