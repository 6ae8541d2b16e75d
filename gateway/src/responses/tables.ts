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
  /** Of all texts. */
  readonly bytes: number;
  /**
   * JSON: the answer's items as far as the next turn needs them; beside the body, so that nothing else of it need be read. null where
   * a server of an earlier version stored it.
   */
  readonly output: string | null;
  /** Of the input and the output; null as there. */
  readonly turn_bytes: number | null;
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
