import type { Rates } from './counters.ts';

/** OpenAI's headers for what is left of the limits per minute. */
export function rateHeaders({ requests, tokens }: Rates): Record<string, string> {
  const headers: Record<string, string> = {};
  if (requests !== null) {
    headers['x-ratelimit-limit-requests'] = String(requests.limit);
    headers['x-ratelimit-remaining-requests'] = String(Math.floor(requests.remaining));
    headers['x-ratelimit-reset-requests'] = durationText(requests.resetMilliseconds);
  }
  if (tokens !== null) {
    headers['x-ratelimit-limit-tokens'] = String(tokens.limit);
    headers['x-ratelimit-remaining-tokens'] = String(Math.floor(tokens.remaining));
    headers['x-ratelimit-reset-tokens'] = durationText(tokens.resetMilliseconds);
  }
  return headers;
}

/** As OpenAI writes it: `17ms`, `8.64s`, `6m0s`. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.ceil(milliseconds)}ms`;
  const seconds = Math.ceil(milliseconds / 10) / 100;
  if (seconds < 60) return `${seconds}s`;
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}m${whole % 60}s`;
}
