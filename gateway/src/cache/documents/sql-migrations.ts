import { isPostgres, type Migration } from '@polylora/adapters-store';

/** Steps of the cache's tables, in order of their names. Each can be taken back. */
export const CACHE_MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_entries': {
    async up(db) {
      const bytes = isPostgres(db) ? 'bytea' : 'blob';
      // Only so named is a key the row's own number in SQLite.
      const sequence = isPostgres(db) ? 'bigint' : 'integer';
      await db.schema
        .createTable('cache_state')
        .addColumn('last', 'bigint', (column) => column.notNull())
        .addColumn('forgotten', 'bigint', (column) => column.notNull())
        .execute();
      await db.insertInto('cache_state').values({ last: 0, forgotten: 0 }).execute();
      await db.schema
        .createTable('cache_entry')
        .addColumn('sequence', sequence, (column) => column.primaryKey())
        .addColumn('id', 'text', (column) => column.notNull().unique())
        .addColumn('tenant', bytes, (column) => column.notNull())
        .addColumn('model', bytes, (column) => column.notNull())
        .addColumn('root', bytes, (column) => column.notNull())
        .addColumn('category', bytes, (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('expires_at', 'bigint', (column) => column.notNull())
        .addColumn('hits', 'bigint', (column) => column.notNull())
        .addColumn('head', 'text', (column) => column.notNull())
        .addColumn('vector', bytes)
        .execute();
      for (const column of ['tenant', 'model', 'root', 'category']) {
        await db.schema
          .createIndex(`cache_entry_${column}`)
          .on('cache_entry')
          .columns([column, 'created_at', 'id'])
          .execute();
      }
      await db.schema
        .createIndex('cache_entry_age')
        .on('cache_entry')
        .columns(['created_at', 'id'])
        .execute();
      await db.schema.createIndex('cache_entry_end').on('cache_entry').column('expires_at').execute();
      await db.schema
        .createTable('cache_body')
        .addColumn('sequence', sequence, (column) => column.primaryKey())
        .addColumn('signature', bytes)
        .addColumn('body', 'text', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('cache_tag')
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .addColumn('tag', bytes, (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('id', 'text', (column) => column.notNull())
        .execute();
      await db.schema.createIndex('cache_tag_sequence').on('cache_tag').column('sequence').execute();
      await db.schema
        .createIndex('cache_tag_name')
        .on('cache_tag')
        .columns(['tag', 'created_at', 'id', 'sequence'])
        .execute();
      await db.schema
        .createTable('cache_removed')
        .addColumn('sequence', sequence, (column) => column.primaryKey())
        .addColumn('id', 'text', (column) => column.notNull())
        .execute();
    },
    async down(db) {
      for (const table of ['removed', 'tag', 'body', 'entry', 'state']) {
        await db.schema.dropTable(`cache_${table}`).execute();
      }
    },
  },
};
