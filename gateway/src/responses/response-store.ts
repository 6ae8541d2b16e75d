import { type Database, migrateBeside } from '@polylora/adapters-store';
import { ApiError } from '../errors.ts';
import type { Logger } from '../logging.ts';
import type { ResponseBody } from '../openai/responses-answer.ts';
import type { ResponseItem } from '../openai/responses-items.ts';
import type { SteadyClock } from '../steady-clock.ts';
import { RESPONSE_MIGRATIONS } from './migrations.ts';
import { type ResponseDatabase, withResponses } from './tables.ts';

export interface ResponseStoreLimits {
  /** Most that a tenant's responses take together; the oldest make room. */
  readonly bytesPerTenant: number;
  /** After which a response is forgotten. */
  readonly seconds: number;
}

export interface ResponseStoreOptions {
  readonly database: Database;
  readonly limits: ResponseStoreLimits;
  readonly clock: SteadyClock;
  readonly logger: Logger;
}

/** A response, and what was asked. */
export interface StoredResponse {
  readonly body: ResponseBody;
  /** Without what came before it. */
  readonly input: readonly ResponseItem[];
}

/** What the next turn of a conversation needs of an earlier one. */
export interface StoredTurn {
  readonly id: string;
  readonly input: readonly ResponseItem[];
  readonly output: ResponseBody['output'];
}

const SWEEP_MILLISECONDS = 10 * 60 * 1000;
/** What a tenant may add before all of it is counted again: this part of what it may have. */
const UNCOUNTED_SHARE = 1 / 16;
/** Of a conversation's items: several times what a request may be, and more than fits a model's context. */
const MOST_CONVERSATION_BYTES = 16 << 20;
const REMOVED_TOGETHER = 500;

/** Responses of tenants, for as long as they are kept: in the store's database, where every gateway finds them. */
export class ResponseStore {
  readonly #database: ResponseDatabase;
  readonly #limits: ResponseStoreLimits;
  readonly #clock: SteadyClock;
  readonly #logger: Logger;
  /** What each tenant added since all of it was counted. */
  readonly #uncounted = new Map<string, number>();
  readonly #sweeping: NodeJS.Timeout;

  private constructor({ database, limits, clock, logger }: ResponseStoreOptions) {
    this.#database = withResponses(database);
    this.#limits = limits;
    this.#clock = clock;
    this.#logger = logger;
    this.#sweeping = setInterval(() => void this.#sweep(), SWEEP_MILLISECONDS).unref();
  }

  /** @throws MetadataError where the table cannot be used */
  static async open(options: ResponseStoreOptions): Promise<ResponseStore> {
    await migrateBeside(options.database, 'responses', RESPONSE_MIGRATIONS);
    const store = new ResponseStore(options);
    await store.#sweep();
    return store;
  }

  /** Durable when it resolves. */
  async add(tenant: string, { body, input }: StoredResponse): Promise<void> {
    const [bodyText, inputText] = [JSON.stringify(body), JSON.stringify(input)];
    const outputText = JSON.stringify(body.output.map(withoutLogprobs));
    const turnBytes = Buffer.byteLength(inputText) + Buffer.byteLength(outputText);
    const bytes = Buffer.byteLength(bodyText) + turnBytes;
    await this.#database
      .insertInto('response')
      .values({
        id: body.id,
        tenant,
        previous: body.previous_response_id,
        input: inputText,
        body: bodyText,
        bytes,
        output: outputText,
        turn_bytes: turnBytes,
        created_at: this.#clock.now(),
      })
      .execute();
    const uncounted = (this.#uncounted.get(tenant) ?? Number.POSITIVE_INFINITY) + bytes;
    this.#uncounted.set(tenant, uncounted);
    if (uncounted > this.#limits.bytesPerTenant * UNCOUNTED_SHARE) await this.#makeRoom(tenant);
  }

  /** null where the tenant has no such response, or not any more; another's is not told apart. */
  async find(tenant: string, id: string): Promise<StoredResponse | null> {
    const row = await this.#database
      .selectFrom('response')
      .select(['body', 'input'])
      .where('id', '=', id)
      .where('tenant', '=', tenant)
      .where('created_at', '>=', this.#oldest())
      .executeTakeFirst();
    return row === undefined ? null : storedResponse(row);
  }

  /**
   * The conversation that ends with a response, from its beginning; null where a part of it is not there.
   * @throws ApiError conversation_too_long
   */
  async conversation(tenant: string, id: string): Promise<readonly StoredTurn[] | null> {
    const oldest = this.#oldest();
    const rows = await this.#database
      .withRecursive('turn(id, previous, depth, total)', (database) =>
        database
          .selectFrom('response')
          .select(({ lit, fn }) => [
            'id',
            'previous',
            lit(1).as('depth'),
            fn.coalesce('turn_bytes', 'bytes').as('total'),
          ])
          .where('id', '=', id)
          .where('tenant', '=', tenant)
          .where('created_at', '>=', oldest)
          .unionAll(
            database
              .selectFrom('turn')
              // A cross join has SQLite begin with the turn: it would look through all of a tenant's responses for each.
              .crossJoin('response')
              .whereRef('response.id', '=', 'turn.previous')
              .select((expression) => [
                'response.id',
                'response.previous',
                expression('turn.depth', '+', 1).as('depth'),
                expression(
                  'turn.total',
                  '+',
                  expression.fn.coalesce('response.turn_bytes', 'response.bytes'),
                ).as('total'),
              ])
              .where('response.tenant', '=', tenant)
              .where('response.created_at', '>=', oldest)
              // The first turn that is too much is there, and tells that it is.
              .where('turn.total', '<=', MOST_CONVERSATION_BYTES),
          ),
      )
      .selectFrom('turn')
      .crossJoin('response')
      .whereRef('response.id', '=', 'turn.id')
      .select((expression) => [
        ...(['turn.id', 'turn.previous', 'turn.depth', 'turn.total'] as const),
        ...(['response.input', 'response.output'] as const),
        // Tools, instructions and logprobs may be many times as large as what was said.
        expression
          .case()
          .when('response.output', 'is', null)
          .then(expression.ref('response.body'))
          .else(null)
          .end()
          .as('body'),
      ])
      .execute();
    // Here and not in the query, which would move all the texts about.
    const [first, ...others] = rows.sort((a, b) => b.depth - a.depth);
    if (first === undefined) return null;
    if (first.total > MOST_CONVERSATION_BYTES) throw tooLong();
    return first.previous === null ? [first, ...others].map(storedTurn) : null;
  }

  /** @returns whether there was one */
  async remove(tenant: string, id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#database
      .deleteFrom('response')
      .where('id', '=', id)
      .where('tenant', '=', tenant)
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }

  close(): void {
    clearInterval(this.#sweeping);
  }

  #oldest(): number {
    return this.#clock.now() - this.#limits.seconds * 1000;
  }

  async #makeRoom(tenant: string): Promise<void> {
    this.#uncounted.set(tenant, 0);
    const rows = await this.#database
      .selectFrom('response')
      .select(['id', 'bytes'])
      .where('tenant', '=', tenant)
      // Not by their ids, which have the time of the machine's clock: what was made while that was ahead would stay for ever.
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .execute();
    let kept = 0;
    const removed = rows.filter(({ bytes }) => {
      // PostgreSQL gives its largest integers as texts.
      kept += Number(bytes);
      return kept > this.#limits.bytesPerTenant;
    });
    for (let begin = 0; begin < removed.length; begin += REMOVED_TOGETHER) {
      const ids = removed.slice(begin, begin + REMOVED_TOGETHER).map(({ id }) => id);
      await this.#database.deleteFrom('response').where('id', 'in', ids).execute();
    }
  }

  async #sweep(): Promise<void> {
    try {
      await this.#database.deleteFrom('response').where('created_at', '<', this.#oldest()).execute();
    } catch (error) {
      this.#logger.warn({ err: error }, 'old responses cannot be removed now');
    }
  }
}

function storedResponse({ body, input }: { readonly body: string; readonly input: string }): StoredResponse {
  return { body: JSON.parse(body), input: JSON.parse(input) };
}

function storedTurn({
  id,
  input,
  output,
  body,
}: Record<'id' | 'input', string> & Record<'output' | 'body', string | null>): StoredTurn {
  return {
    id,
    input: JSON.parse(input),
    output: output === null ? JSON.parse(body ?? '{}').output : JSON.parse(output),
  };
}

function withoutLogprobs(item: ResponseBody['output'][number]): ResponseBody['output'][number] {
  if (item.type !== 'message') return item;
  return { ...item, content: item.content.map((part) => ({ ...part, logprobs: [] })) };
}

function tooLong(): ApiError {
  const message = `The conversation has more than ${MOST_CONVERSATION_BYTES} bytes: begin a new one.`;
  return new ApiError('conversation_too_long', message, 'previous_response_id');
}
