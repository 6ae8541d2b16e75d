import { Activity, type CacheResult, type Generated } from './activity.ts';

/**
 * Counts what goes on, for those who look at it live: of everybody, and of each tenant whose administrator looks. Told of
 * every event of a generation, it adds up numbers and keeps nothing.
 */
export class LiveMeter {
  readonly everyone = new Activity();
  readonly #tenants = new Map<string, Activity>();

  /** Counts a tenant's from now on. */
  watch(tenant: string): Activity {
    const activity = this.#tenants.get(tenant) ?? new Activity();
    this.#tenants.set(tenant, activity);
    return activity;
  }

  forget(tenant: string): void {
    this.#tenants.delete(tenant);
  }

  /** A tenant's, where somebody looks at it. */
  of(tenant: string): Activity | undefined {
    return this.#tenants.size === 0 ? undefined : this.#tenants.get(tenant);
  }

  /** A request for an answer or for vectors was answered. @param tenant null where nobody knows who asked */
  answered(tenant: string | null, status: number, cache: CacheResult | null): void {
    this.everyone.answered(status, cache);
    if (tenant !== null) this.of(tenant)?.answered(status, cache);
  }

  /** An answer that had begun well broke off. */
  failed(tenant: string): void {
    this.everyone.failed();
    this.of(tenant)?.failed();
  }

  /** A prompt of a sequence was read. */
  promptRead(tenant: string, tokens: number): void {
    this.everyone.promptRead(tokens);
    this.of(tenant)?.promptRead(tokens);
  }

  /** A sequence had some tokens. */
  generated(tenant: string, made: Generated): void {
    this.everyone.generated(made);
    this.of(tenant)?.generated(made);
  }

  /** A sequence that has ended waited so long for its first step. */
  queued(tenant: string, milliseconds: number): void {
    this.everyone.queued(milliseconds);
    this.of(tenant)?.queued(milliseconds);
  }
}
