import { z } from 'zod';

/** Of a token, in billionths of the currency's unit. */
export interface Price {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
}

/** Of what has no price: one of nothing that was set is another. */
export const FREE: Price = { input: 0, cachedInput: 0, output: 0 };

/** Longest name of what has a price. */
export const MOST_PRICED_NAME = 128;

/** From the currency's unit for a million tokens to billionths of it for one. */
const NANOS_OF_TOKEN = 1_000;

/** In the currency's unit for a million tokens, to the thousandth: what is finer would become another price, or none. */
export const perMillion = z
  .number()
  .min(0)
  .max(1_000_000)
  .refine((price) => nanos(price) / NANOS_OF_TOKEN === price, {
    error: 'prices are of a million tokens, in steps of 0.001.',
  });

/** Prices as a person writes them. */
export interface PricePerMillion {
  readonly input: number;
  /** null, or absent: as the others. */
  readonly cachedInput?: number | null | undefined;
  readonly output: number;
}

export function priceOf({ input, cachedInput, output }: PricePerMillion): Price {
  return { input: nanos(input), cachedInput: nanos(cachedInput ?? input), output: nanos(output) };
}

export function pricePerMillion({ input, cachedInput, output }: Price): Required<PricePerMillion> {
  return {
    input: input / NANOS_OF_TOKEN,
    cachedInput: cachedInput / NANOS_OF_TOKEN,
    output: output / NANOS_OF_TOKEN,
  };
}

function nanos(price: number): number {
  return Math.round(price * NANOS_OF_TOKEN);
}
