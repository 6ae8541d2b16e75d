import type { Migration } from '@polylora/adapters-store';

/** Steps of the tenants' tables, in order of their names. Each can be taken back. */
export const TENANT_MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_tenants': {
    async up(db) {
      await db.schema
        .createTable('tenant')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('name', 'text')
        .addColumn('blocked', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('models', 'text', (column) => column.notNull())
        .addColumn('limits', 'text', (column) => column.notNull())
        .addColumn('weight', 'real', (column) => column.notNull().defaultTo(1))
        .addColumn('allow_priority', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('metadata', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .addColumn('deleted_at', 'bigint')
        .execute();
      await db.schema
        .createTable('api_key')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('tenant', 'text', (column) => column.notNull().references('tenant.id'))
        .addColumn('role', 'text', (column) => column.notNull())
        .addColumn('alias', 'text')
        .addColumn('blocked', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('models', 'text', (column) => column.notNull())
        .addColumn('limits', 'text', (column) => column.notNull())
        .addColumn('metadata', 'text', (column) => column.notNull())
        .addColumn('expires_at', 'bigint')
        .addColumn('created_by', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema.createIndex('api_key_tenant').on('api_key').columns(['tenant', 'id']).execute();
      await db.schema
        .createTable('api_key_secret')
        .addColumn('hash', 'text', (column) => column.primaryKey())
        .addColumn('key', 'text', (column) => column.notNull().references('api_key.id'))
        .addColumn('prefix', 'text', (column) => column.notNull())
        .addColumn('expires_at', 'bigint')
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema.createIndex('api_key_secret_key').on('api_key_secret').column('key').execute();
      await db.schema
        .createTable('price')
        .addColumn('model', 'text', (column) => column.primaryKey())
        .addColumn('input', 'bigint', (column) => column.notNull())
        .addColumn('cached_input', 'bigint', (column) => column.notNull())
        .addColumn('output', 'bigint', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('spend')
        .addColumn('day', 'text', (column) => column.notNull())
        .addColumn('tenant', 'text', (column) => column.notNull())
        .addColumn('key', 'text', (column) => column.notNull())
        .addColumn('model', 'text', (column) => column.notNull())
        .addColumn('requests', 'bigint', (column) => column.notNull())
        .addColumn('prompt_tokens', 'bigint', (column) => column.notNull())
        .addColumn('cached_tokens', 'bigint', (column) => column.notNull())
        .addColumn('completion_tokens', 'bigint', (column) => column.notNull())
        .addColumn('money', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('spend_key', ['tenant', 'day', 'key', 'model'])
        .execute();
      await db.schema.createIndex('spend_of_key').on('spend').columns(['key', 'day']).execute();
    },
    async down(db) {
      for (const table of ['spend', 'price', 'api_key_secret', 'api_key', 'tenant']) {
        await db.schema.dropTable(table).execute();
      }
    },
  },
};
