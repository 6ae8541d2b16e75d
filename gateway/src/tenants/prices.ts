import { ApiError } from '../errors.ts';
import { quoted } from '../openai/fields.ts';
import type { Actor, TenantChanges } from './changes.ts';
import { grantNames } from './model-grants.ts';
import { FREE, type Price, type PricePerMillion, priceOf, pricePerMillion } from './price.ts';
import type { TenantDatabase } from './tables.ts';

export interface NamedPrice extends Price {
  readonly model: string;
}

/** A price that counts, and who has set it: somebody by the admin API, or the operator in the configuration file. */
export interface SetPrice extends NamedPrice {
  readonly source: 'api' | 'file';
}

type Named = Parameters<typeof grantNames>[0];

/**
 * What tokens cost, by the models' names: an adapter's own price, its owner's (`acme/*`), the base's, or everybody's (`*`). Of a name
 * that has a price in the database and one in the configuration, the database's counts.
 */
export class Prices {
  readonly #database: TenantDatabase;
  readonly #changes: TenantChanges;
  /** Of the configuration. */
  #configured: ReadonlyMap<string, Price> = new Map();
  /** Of the database. */
  #stored: ReadonlyMap<string, Price> = new Map();
  /** Of both. */
  #byModel: ReadonlyMap<string, Price> = new Map();
  /** What was found by those names: backends give the same object for a model, request after request. */
  #found = new WeakMap<Named, Price>();

  constructor(database: TenantDatabase, changes: TenantChanges) {
    this.#database = database;
    this.#changes = changes;
  }

  /** Reads all anew; they are few. */
  async load(): Promise<void> {
    this.#stored = new Map((await this.#rows()).map(({ model, ...price }) => [model, price]));
    this.#merge();
  }

  /** Puts these in the place of those that the configuration had before: for what is asked from now on. */
  configure(prices: Readonly<Record<string, PricePerMillion>>): void {
    this.#configured = new Map(Object.entries(prices).map(([model, price]) => [model, priceOf(price)]));
    this.#merge();
  }

  #merge(): void {
    this.#byModel = new Map([...this.#configured, ...this.#stored]);
    this.#found = new WeakMap();
  }

  of(model: Named): Price {
    const found = this.#found.get(model) ?? this.#find(model);
    this.#found.set(model, found);
    return found;
  }

  #find(model: Named): Price {
    // The most particular first; an adapter without a price costs what its base does.
    const names = [...grantNames(model).reverse()];
    if (model.parent !== null)
      names.splice(-1, 0, ...grantNames({ ...model, id: model.parent, parent: null }).reverse());
    for (const name of names) {
      const price = this.#byModel.get(name);
      if (price !== undefined) return price;
    }
    return FREE;
  }

  /** Those that count, by name. */
  async list(): Promise<SetPrice[]> {
    const stored = (await this.#rows()).map((price): SetPrice => ({ ...price, source: 'api' }));
    const names = new Set(stored.map(({ model }) => model));
    const configured = [...this.#configured]
      .filter(([model]) => !names.has(model))
      .map(([model, price]): SetPrice => ({ model, ...price, source: 'file' }));
    return [...stored, ...configured].sort((a, b) => (a.model < b.model ? -1 : 1));
  }

  async #rows(): Promise<NamedPrice[]> {
    const rows = await this.#database.selectFrom('price').selectAll().orderBy('model').execute();
    return rows.map(({ model, input, cached_input, output }) => ({
      model,
      input,
      cachedInput: cached_input,
      output,
    }));
  }

  set({ model, input, cachedInput, output }: NamedPrice, actor: Actor): Promise<void> {
    return this.#changes.do(actor, async (transaction, at) => {
      const columns = { input, cached_input: cachedInput, output, updated_at: at };
      await transaction
        .insertInto('price')
        .values({ model, ...columns })
        .onConflict((conflict) => conflict.column('model').doUpdateSet(columns))
        .execute();
      const given = pricePerMillion({ input, cachedInput, output });
      const details = { input: given.input, cached_input: given.cachedInput, output: given.output };
      return [undefined, { action: 'price.set', subject: `price:${model}`, details }];
    });
  }

  /** Takes a price of the database away: one of the configuration counts again then. @throws ApiError price_not_found */
  remove(model: string, actor: Actor): Promise<void> {
    return this.#changes.do(actor, async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('price')
        .where('model', '=', model)
        .executeTakeFirst();
      if (numDeletedRows === 0n) {
        const elsewhere = this.#configured.has(model)
          ? ' to take away here: the one that it has is from the configuration file.'
          : '.';
        throw new ApiError('price_not_found', `There is no price of '${quoted(model)}'${elsewhere}`);
      }
      return [undefined, { action: 'price.remove', subject: `price:${model}` }];
    });
  }
}
