import type { Rate, Rates } from './counters.ts';

/** OpenAI's headers for what is left of the limits per minute. */
export function rateHeaders({ requests, tokens }: Rates): Record<string, string> {
  return { ...headers('requests', requests), ...headers('tokens', tokens) };
}

function headers(unit: string, rate: Rate | null): Record<string, string> {
  if (rate === null) return {};
  return {
    [`x-ratelimit-limit-${unit}`]: String(rate.limit),
    [`x-ratelimit-remaining-${unit}`]: String(Math.floor(rate.remaining)),
    [`x-ratelimit-reset-${unit}`]: durationText(rate.resetMilliseconds),
  };
}

/** As OpenAI writes it: `17ms`, `8.64s`, `6m0s`. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.ceil(milliseconds)}ms`;
  const seconds = Math.ceil(milliseconds / 10) / 100;
  if (seconds < 60) return `${seconds}s`;
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}m${whole % 60}s`;
}
