import type { BackendEvent } from '../backends/backend.ts';
import { Activity, type CacheResult } from './activity.ts';

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

  /**
   * What measures a request's choices from now on.
   * @param isAwaited whether somebody waits for it: otherwise its latencies say nothing of what users see
   */
  request(tenant: string, isAwaited: boolean): LiveRequest {
    return new LiveRequest(this, tenant, isAwaited);
  }
}

/** A request's choices, measured by their events. */
export class LiveRequest {
  readonly #meter: LiveMeter;
  readonly #tenant: string;
  readonly #isAwaited: boolean;
  readonly #arrived = performance.now();
  /** When each choice last had a token; a hole before its first. */
  readonly #last: number[] = [];
  /** Choices whose prompt was counted. */
  readonly #counted = new Set<number>();

  constructor(meter: LiveMeter, tenant: string, isAwaited: boolean) {
    this.#meter = meter;
    this.#tenant = tenant;
    this.#isAwaited = isAwaited;
  }

  /** @param isTold whether it came just now; false where an answer came whole */
  see(choice: number, event: BackendEvent, isTold: boolean): void {
    switch (event.type) {
      case 'start':
        this.#countPrompt(choice, event.promptTokens);
        break;
      case 'delta':
        if (event.tokens > 0) this.#countTokens(choice, event.tokens, isTold);
        break;
      case 'finish':
        this.#countPrompt(choice, event.usage.promptTokens);
        if (this.#isAwaited && isTold) this.#queued(event.queuedSeconds * 1000);
    }
  }

  #countPrompt(choice: number, tokens: number | null): void {
    if (tokens === null || this.#counted.has(choice)) return;
    this.#counted.add(choice);
    this.#meter.everyone.promptRead(tokens);
    this.#meter.of(this.#tenant)?.promptRead(tokens);
  }

  #countTokens(choice: number, tokens: number, isTold: boolean): void {
    const last = this.#last[choice];
    const now = performance.now();
    this.#last[choice] = now;
    const isFirst = last === undefined;
    const milliseconds = this.#isAwaited && isTold ? now - (last ?? this.#arrived) : null;
    this.#meter.everyone.generated(tokens, isFirst, milliseconds);
    this.#meter.of(this.#tenant)?.generated(tokens, isFirst, milliseconds);
  }

  #queued(milliseconds: number): void {
    this.#meter.everyone.queued(milliseconds);
    this.#meter.of(this.#tenant)?.queued(milliseconds);
  }
}
