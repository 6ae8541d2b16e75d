import { type Kysely, type Migration, sql } from 'kysely';
import { isPostgres } from './dialect.ts';

const APPEND_ONLY = 'the audit log is append-only';

/** SQLite's `insert or replace` takes rows away without the trigger of those that are deleted. */
const GUARD_SQLITE = [
  `create trigger audit_no_update before update on audit
    begin select raise(abort, '${APPEND_ONLY}'); end`,
  `create trigger audit_no_delete before delete on audit
    begin select raise(abort, '${APPEND_ONLY}'); end`,
  `create trigger audit_no_replace before insert on audit
    when exists (select 1 from audit where sequence = new.sequence or hash = new.hash)
    begin select raise(abort, '${APPEND_ONLY}'); end`,
];
const GUARD_POSTGRES = [
  `create function audit_append_only() returns trigger language plpgsql as
    $$ begin raise exception '${APPEND_ONLY}'; end $$`,
  `create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function audit_append_only()`,
];

/** Steps of the tables' shape, in order of their names. Each can be taken back, so that the release before runs again. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_adapters': {
    async up(db: Kysely<never>) {
      await db.schema
        .createTable('adapter')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('owner', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('version')
        .addColumn('digest', 'text', (column) => column.primaryKey())
        .addColumn('base_digest', 'text', (column) => column.notNull())
        .addColumn('blob', 'text', (column) => column.notNull().unique())
        .addColumn('bytes', 'bigint', (column) => column.notNull())
        .addColumn('ranks', 'text', (column) => column.notNull())
        .addColumn('source', 'text', (column) => column.notNull())
        .addColumn('parent', 'text')
        .addColumn('note', 'text')
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('pinned', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('unreferenced_since', 'bigint')
        // Last, because it is the longest: what does not ask for it does not read it.
        .addColumn('config', 'text', (column) => column.notNull())
        .execute();
      await db.schema
        .createIndex('version_unreferenced')
        .on('version')
        .column('unreferenced_since')
        .execute();
      await db.schema
        .createTable('release')
        .addColumn('name', 'text', (column) => column.notNull().references('adapter.name'))
        .addColumn('number', 'integer', (column) => column.notNull())
        .addColumn('digest', 'text', (column) => column.notNull().references('version.digest'))
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('release_key', ['name', 'number'])
        .execute();
      await db.schema.createIndex('release_digest').on('release').column('digest').execute();
      await db.schema
        .createTable('tag')
        .addColumn('name', 'text', (column) => column.notNull().references('adapter.name'))
        .addColumn('tag', 'text', (column) => column.notNull())
        .addColumn('digest', 'text', (column) => column.notNull().references('version.digest'))
        .addColumn('moved_at', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('tag_key', ['name', 'tag'])
        .execute();
      await db.schema.createIndex('tag_digest').on('tag').column('digest').execute();
      await db.schema
        .createTable('adapter_grant')
        .addColumn('name', 'text', (column) => column.notNull().references('adapter.name'))
        .addColumn('kind', 'text', (column) => column.notNull())
        .addColumn('grantee', 'text', (column) => column.notNull())
        .addColumn('granted_at', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('adapter_grant_key', ['name', 'kind', 'grantee'])
        .execute();
      await db.schema
        .createTable('audit')
        .addColumn('sequence', 'integer', (column) => column.primaryKey())
        .addColumn('at', 'bigint', (column) => column.notNull())
        .addColumn('actor', 'text', (column) => column.notNull())
        .addColumn('action', 'text', (column) => column.notNull())
        .addColumn('subject', 'text', (column) => column.notNull())
        .addColumn('details', 'text', (column) => column.notNull())
        .addColumn('previous', 'text', (column) => column.notNull())
        .addColumn('hash', 'text', (column) => column.notNull().unique())
        .execute();
    },
    async down(db: Kysely<never>) {
      for (const table of ['audit', 'adapter_grant', 'tag', 'release', 'version', 'adapter']) {
        await db.schema.dropTable(table).execute();
      }
    },
  },
  '0002_checked_folders': {
    async up(db: Kysely<never>) {
      await db.schema
        .createTable('checked_folder')
        .addColumn('directory', 'text', (column) => column.notNull())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('signature', 'text', (column) => column.notNull())
        .addColumn('digest', 'text', (column) => column.notNull())
        .addPrimaryKeyConstraint('checked_folder_key', ['directory', 'name'])
        .execute();
    },
    async down(db: Kysely<never>) {
      await db.schema.dropTable('checked_folder').execute();
    },
  },
  '0003_sources': {
    async up(db: Kysely<never>) {
      await db.schema
        .createTable('secret')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('sealed', 'text', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .execute();
      await db.schema
        .createTable('import')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('tenant', 'text', (column) => column.notNull())
        .addColumn('request', 'text', (column) => column.notNull())
        .addColumn('state', 'text', (column) => column.notNull())
        .addColumn('worker', 'text', (column) => column.notNull())
        .addColumn('seen_at', 'bigint', (column) => column.notNull())
        .addColumn('bytes_done', 'bigint', (column) => column.notNull())
        .addColumn('bytes_total', 'bigint')
        .addColumn('result', 'text')
        .addColumn('error_code', 'text')
        .addColumn('error_message', 'text')
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('finished_at', 'bigint')
        .execute();
      await db.schema.createIndex('import_state').on('import').column('state').execute();
    },
    async down(db: Kysely<never>) {
      for (const table of ['import', 'secret']) await db.schema.dropTable(table).execute();
    },
  },
  '0004_adapter_kinds': {
    async up(db: Kysely<never>) {
      await db.schema
        .alterTable('version')
        // There was no other kind before.
        .addColumn('kind', 'text', (column) => column.notNull().defaultTo('LoRA'))
        .execute();
    },
    async down(db: Kysely<never>) {
      await db.schema.alterTable('version').dropColumn('kind').execute();
    },
  },
  '0005_adapter_tasks': {
    async up(db: Kysely<never>) {
      for (const table of ['version', 'checked_folder']) {
        await db.schema
          .alterTable(table)
          // Others were refused before.
          .addColumn('task', 'text', (column) => column.notNull().defaultTo('generate'))
          .execute();
      }
    },
    async down(db: Kysely<never>) {
      for (const table of ['version', 'checked_folder']) {
        await db.schema.alterTable(table).dropColumn('task').execute();
      }
    },
  },
  '0006_append_only_audit': {
    async up(db: Kysely<never>) {
      for (const statement of isPostgres(db) ? GUARD_POSTGRES : GUARD_SQLITE)
        await sql.raw(statement).execute(db);
    },
    async down(db: Kysely<never>) {
      const statements = isPostgres(db)
        ? ['drop trigger audit_append_only on audit', 'drop function audit_append_only']
        : ['audit_no_update', 'audit_no_delete', 'audit_no_replace'].map((name) => `drop trigger ${name}`);
      for (const statement of statements) await sql.raw(statement).execute(db);
    },
  },
};
