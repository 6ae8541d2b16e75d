import type { Migration } from '@polylora/adapters-store';

/** Steps of the responses' table, in order of their names. Each can be taken back. */
export const RESPONSE_MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_responses': {
    async up(db) {
      await db.schema
        .createTable('response')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('tenant', 'text', (column) => column.notNull())
        .addColumn('previous', 'text')
        .addColumn('input', 'text', (column) => column.notNull())
        .addColumn('body', 'text', (column) => column.notNull())
        .addColumn('bytes', 'bigint', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createIndex('response_tenant')
        .on('response')
        .columns(['tenant', 'id', 'bytes'])
        .execute();
      await db.schema.createIndex('response_age').on('response').column('created_at').execute();
    },
    async down(db) {
      await db.schema.dropTable('response').execute();
    },
  },
  '0002_oldest_by_time': {
    async up(db) {
      await db.schema
        .createIndex('response_kept')
        .on('response')
        .columns(['tenant', 'created_at', 'id', 'bytes'])
        .execute();
      await db.schema.dropIndex('response_tenant').execute();
    },
    async down(db) {
      await db.schema
        .createIndex('response_tenant')
        .on('response')
        .columns(['tenant', 'id', 'bytes'])
        .execute();
      await db.schema.dropIndex('response_kept').execute();
    },
  },
  '0003_what_a_turn_needs': {
    async up(db) {
      await db.schema.alterTable('response').addColumn('output', 'text').execute();
      await db.schema.alterTable('response').addColumn('turn_bytes', 'bigint').execute();
    },
    async down(db) {
      await db.schema.alterTable('response').dropColumn('turn_bytes').execute();
      await db.schema.alterTable('response').dropColumn('output').execute();
    },
  },
};
