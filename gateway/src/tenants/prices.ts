import { ApiError } from '../errors.ts';
import { quoted } from '../openai/fields.ts';
import type { Actor, TenantChanges } from './changes.ts';
import { grantNames } from './model-grants.ts';
import type { TenantDatabase } from './tables.ts';

/** Of a token, in billionths of the currency's unit. */
export interface Price {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
}

export interface NamedPrice extends Price {
  readonly model: string;
}

type Named = Parameters<typeof grantNames>[0];

const FREE: Price = { input: 0, cachedInput: 0, output: 0 };

/** What tokens cost, by the models' names: an adapter's own price, its owner's (`acme/*`), the base's, or everybody's (`*`). */
export class Prices {
  readonly #database: TenantDatabase;
  readonly #changes: TenantChanges;
  #byModel: ReadonlyMap<string, Price> = new Map();
  /** What was found by those names: backends give the same object for a model, request after request. */
  #found = new WeakMap<Named, Price>();

  constructor(database: TenantDatabase, changes: TenantChanges) {
    this.#database = database;
    this.#changes = changes;
  }

  /** Reads all anew; they are few. */
  async load(): Promise<void> {
    this.#byModel = new Map((await this.list()).map(({ model, ...price }) => [model, price]));
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

  async list(): Promise<NamedPrice[]> {
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
      return [undefined, { action: 'price.set', subject: `price:${model}`, details: columns }];
    });
  }

  /** @throws ApiError price_not_found */
  remove(model: string, actor: Actor): Promise<void> {
    return this.#changes.do(actor, async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('price')
        .where('model', '=', model)
        .executeTakeFirst();
      if (numDeletedRows === 0n)
        throw new ApiError('price_not_found', `There is no price of '${quoted(model)}'.`);
      return [undefined, { action: 'price.remove', subject: `price:${model}` }];
    });
  }
}
