import type { Reservation } from '../admission/admission.ts';
import type { Asked } from '../admission/asked.ts';
import type { GenerationOptions } from '../generation.ts';

const NOTHING_USED = { promptTokens: 0, cachedPromptTokens: 0, completionTokens: 0 };

/**
 * A request counts as one before anything is looked up for it: who may ask no more costs no embedding. Where an answer has to be made,
 * what that takes is held in the place of this.
 */
export class RequestHold {
  readonly #options: GenerationOptions;
  readonly #reservation: Reservation;
  #isOver = false;

  private constructor(options: GenerationOptions, reservation: Reservation) {
    this.#options = options;
    this.#reservation = reservation;
  }

  /** @throws ApiError where its tenant or key may ask no more for now */
  static async of(options: GenerationOptions): Promise<RequestHold> {
    return new RequestHold(options, await reserveNothing(options));
  }

  /** The request, as it is to be sent where an answer has to be made. */
  get generation(): GenerationOptions {
    return { ...this.#options, reserve: (asked) => this.#exchange(asked) };
  }

  /** It was answered, and costs no tokens. */
  count(): void {
    this.#settle(NOTHING_USED);
  }

  /** It came to nothing, and does not count. */
  drop(): void {
    this.#settle(null);
  }

  async #exchange(asked: Asked): Promise<Reservation> {
    // What it holds may be all that its key may have at once.
    this.drop();
    try {
      return await this.#options.reserve(asked);
    } catch (error) {
      // It was looked up: as many as there are requests to a minute, and not as many as are refused.
      const reservation = await reserveNothing(this.#options).catch(() => null);
      reservation?.settle(NOTHING_USED);
      throw error;
    }
  }

  /** Once: what was settled later is of the answer. */
  #settle(used: typeof NOTHING_USED | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reservation.settle(used);
  }
}

async function reserveNothing({ reserve, model }: GenerationOptions): Promise<Reservation> {
  return reserve({ model, promptTokens: 0, completionTokens: 0, counting: null });
}
