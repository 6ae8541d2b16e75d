import { ApiError } from '../errors.ts';
import type { GenerationOptions } from '../generation.ts';

/** How long a request may wait for an answer that is made for another: its own `timeout`, from when it came. */
export class TimeLimit {
  /** By `performance.now()`; infinite where it waits as long as it takes. */
  readonly #end: number;

  constructor({ requests }: GenerationOptions) {
    const seconds = requests[0]?.scheduling.timeoutSeconds ?? Number.POSITIVE_INFINITY;
    this.#end = performance.now() + 1000 * seconds;
  }

  /** @throws ApiError deadline_exceeded where that takes longer */
  async within<T>(waited: Promise<T>): Promise<T> {
    if (this.#end === Number.POSITIVE_INFINITY) return waited;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(tooLate()), Math.max(0, this.#end - performance.now()));
    });
    try {
      return await Promise.race([waited, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A request that has waited, with the time that is left. @throws ApiError deadline_exceeded where none is */
  left(generation: GenerationOptions): GenerationOptions {
    if (this.#end === Number.POSITIVE_INFINITY) return generation;
    const milliseconds = Math.floor(this.#end - performance.now());
    if (milliseconds <= 0) throw tooLate();
    const requests = generation.requests.map((request) => ({
      ...request,
      scheduling: { ...request.scheduling, timeoutSeconds: milliseconds / 1000 },
    }));
    return { ...generation, requests };
  }
}

function tooLate(): ApiError {
  return new ApiError(
    'deadline_exceeded',
    "The request waited longer than its 'timeout' for an answer that is being made.",
  );
}
