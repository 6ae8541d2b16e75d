import {
  audit,
  type Database,
  inTurn,
  lastAuditSequence,
  type Migration,
  migrateBeside,
} from '@polylora/adapters-store';
import type { Logger } from '../../logging.ts';
import type { CategoryValues } from './category.ts';
import { categorySchema } from './category-schema.ts';

interface CategoryRow {
  readonly name: string;
  /** JSON: what is other than in the configuration. */
  readonly fields: string;
  /** Milliseconds since 1970. */
  readonly updated_at: number;
}

// An alias, not an interface: kysely asks for an index signature.
type CategoryTables = { cache_category: CategoryRow };

/** Steps of the categories' table, in order of their names. Each can be taken back. */
const CATEGORY_MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_categories': {
    async up(db) {
      await db.schema
        .createTable('cache_category')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('fields', 'text', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .execute();
    },
    async down(db) {
      await db.schema.dropTable('cache_category').execute();
    },
  },
};

/** Those that may be set so: each has examples that have to be embedded. */
export const MOST_STORED_CATEGORIES = 100;

export interface StoredCategoriesOptions {
  readonly database: Database;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * Categories as administrators have set them while the server runs, over those of the configuration. They are in the metadata's database,
 * with their entries in the audit log; by that, other servers of the database see that something has changed.
 */
export class StoredCategories {
  readonly #options: StoredCategoriesOptions;
  #values: Readonly<Record<string, CategoryValues>> = {};
  /** As they are written. */
  #rows = '';
  /** The audit log's when they were read. */
  #sequence = -1;

  private constructor(options: StoredCategoriesOptions) {
    this.#options = options;
  }

  /** @throws MetadataError where the table cannot be used */
  static async open(options: StoredCategoriesOptions): Promise<StoredCategories> {
    await migrateBeside(options.database, 'cache_category', CATEGORY_MIGRATIONS);
    const stored = new StoredCategories(options);
    await stored.follow();
    return stored;
  }

  /** By name. */
  get values(): Readonly<Record<string, CategoryValues>> {
    return this.#values;
  }

  /** @returns false where there are as many as there may be */
  async set(name: string, values: CategoryValues, actor: string): Promise<boolean> {
    const { examples, ...told } = values;
    const details = { ...told, ...(examples === undefined ? {} : { examples: examples.length }) };
    const isSet = await this.#change(actor, 'cache.category.set', name, details, async (table, at) => {
      const { count } = await table
        .selectFrom('cache_category')
        .select((select) => select.fn.countAll<number>().as('count'))
        .where('name', '!=', name)
        .executeTakeFirstOrThrow();
      if (Number(count) >= MOST_STORED_CATEGORIES) return false;
      const columns = { fields: JSON.stringify(values), updated_at: at };
      await table
        .insertInto('cache_category')
        .values({ name, ...columns })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(columns))
        .execute();
      return true;
    });
    return isSet;
  }

  /** The configuration's, or the built-in one, counts again. @returns false where none was set */
  remove(name: string, actor: string): Promise<boolean> {
    return this.#change(actor, 'cache.category.reset', name, {}, async (table) => {
      const { numDeletedRows } = await table
        .deleteFrom('cache_category')
        .where('name', '=', name)
        .executeTakeFirst();
      return numDeletedRows > 0n;
    });
  }

  /** Reads what was changed since the last time, here or by another server. @returns whether anything was */
  async follow(): Promise<boolean> {
    const { database } = this.#options;
    // Before the rows: what is changed while they are read is read again.
    const sequence = await lastAuditSequence(database);
    if (sequence === this.#sequence) return false;
    const rows = await database
      .withTables<CategoryTables>()
      .selectFrom('cache_category')
      .select(['name', 'fields'])
      .orderBy('name')
      .execute();
    this.#sequence = sequence;
    const text = JSON.stringify(rows);
    if (text === this.#rows) return false;
    this.#rows = text;
    this.#values = Object.fromEntries(
      rows.flatMap(({ name, fields }) => {
        const values = this.#valuesOf(name, fields);
        return values === null ? [] : [[name, values]];
      }),
    );
    return true;
  }

  async #change(
    actor: string,
    action: string,
    name: string,
    details: object,
    work: (table: ReturnType<typeof tablesOf>, at: number) => Promise<boolean>,
  ): Promise<boolean> {
    const { database, now } = this.#options;
    const isDone = await inTurn(database, async (transaction) => {
      const at = now();
      if (!(await work(tablesOf(transaction), at))) return false;
      await audit(transaction, {
        at,
        actor,
        action,
        subject: `cache_category:${name}`,
        details: { ...details },
      });
      return true;
    });
    // What was changed here holds here when its request is answered.
    await this.follow();
    return isDone;
  }

  /** null: a server of another version has set what this one does not know. */
  #valuesOf(name: string, fields: string): CategoryValues | null {
    const { success, data } = categorySchema.safeParse(JSON.parse(fields));
    if (success) return data;
    const { logger } = this.#options;
    logger.warn(
      { category: name },
      'a category that was set by the admin API is not one of this version: it is left out',
    );
    return null;
  }
}

function tablesOf(transaction: Parameters<Parameters<typeof inTurn>[1]>[0]) {
  return transaction.withTables<CategoryTables>();
}
