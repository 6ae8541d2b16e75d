/** Schemas that others wrote (`test/fixtures/schemas`), and a second opinion on what they allow. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

export type Schema = boolean | Readonly<Record<string, unknown>>;

export interface NamedSchema {
  readonly name: string;
  readonly schema: Schema;
}

/** A group of the JSON Schema Test Suite. */
export interface SuiteGroup {
  readonly file: string;
  readonly description: string;
  readonly schema: Schema;
  readonly tests: readonly { readonly data: unknown; readonly valid: boolean }[];
}

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'schemas');

export const REAL_WORLD = [
  'functions',
  'github',
  'webhooks',
  'kubernetes',
  'schemastore',
  'webpack',
  'angular',
  'eslint',
] as const;

export async function readSchemas(file: (typeof REAL_WORLD)[number]): Promise<readonly NamedSchema[]> {
  return JSON.parse(await readFile(join(FOLDER, `${file}.json`), 'utf8')) as NamedSchema[];
}

export async function readSuite(): Promise<readonly SuiteGroup[]> {
  return JSON.parse(await readFile(join(FOLDER, 'json-schema-test-suite.json'), 'utf8')) as SuiteGroup[];
}

/** What ajv says of a value: its first complaints, or null. */
export function validator(schema: Schema): (value: unknown) => string | null {
  // A list of `items` is what drafts before 2020-12 have.
  const Validator = /"items":\[/.test(JSON.stringify(schema)) ? Ajv : Ajv2020;
  const ajv = new Validator({ strict: false, validateSchema: false, allErrors: false, logger: false });
  formats.default(ajv);
  const validate = ajv.compile(withoutDialect(schema));
  return (value) => (validate(value) ? null : ajv.errorsText(validate.errors));
}

/** A dialect's name says nothing of values, and ajv would look for it; draft 4's address neither. */
function withoutDialect(schema: Schema): Schema {
  if (typeof schema === 'boolean') return schema;
  const { $schema: _, id: __, ...rest } = schema;
  return rest;
}
