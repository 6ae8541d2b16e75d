import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ApiError } from '../errors.ts';

/** Wrong keys from one address, and from all: nobody guesses a key, but whoever tries shall not have the server do nothing else. */
const OF_ADDRESS = { points: 10, duration: 5 * 60 };
const OF_ALL = { points: 300, duration: 60 };

const ALL = 'all';

/** Bounds how often somebody may try to sign in with a key that is none, at this server. */
export class SignInAttempts {
  readonly #ofAddress = new RateLimiterMemory(OF_ADDRESS);
  readonly #ofAll = new RateLimiterMemory(OF_ALL);

  /** Counts an attempt before its key is looked at. @throws ApiError too_many_attempts */
  async begin(address: string): Promise<void> {
    // An address that has none left takes none of everybody's.
    const used = await this.#ofAddress.get(address);
    if (used !== null && used.remainingPoints <= 0) throw refused(used);
    try {
      await this.#ofAll.consume(ALL);
      await this.#ofAddress.consume(address);
    } catch (error) {
      throw error instanceof RateLimiterRes ? refused(error) : error;
    }
  }

  /** It was a key: that counts for nothing. */
  async succeeded(address: string): Promise<void> {
    await Promise.all([this.#ofAll.reward(ALL), this.#ofAddress.reward(address)]);
  }
}

function refused({ msBeforeNext }: RateLimiterRes): ApiError {
  const retryAfterSeconds = Math.ceil(msBeforeNext / 1000);
  const message = `Too many keys were tried that are none. Please try again in ${retryAfterSeconds} seconds.`;
  return new ApiError('too_many_attempts', message, null, { retryAfterSeconds });
}
