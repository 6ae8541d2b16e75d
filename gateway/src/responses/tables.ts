import type { Database } from '@polylora/adapters-store';

interface ResponseTable {
  readonly id: string;
  readonly tenant: string;
  /** The response before it in its conversation. */
  readonly previous: string | null;
  /** JSON: what was asked, without what came before. */
  readonly input: string;
  /** JSON: as it was answered. */
  readonly body: string;
  /** Of both. */
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly created_at: number;
}

// An alias, not an interface: kysely asks for an index signature.
type ResponseTables = { response: ResponseTable };

/** The store's database with the responses' table in it. */
export type ResponseDatabase = ReturnType<typeof withResponses>;

export function withResponses(database: Database) {
  return database.withTables<ResponseTables>();
}
