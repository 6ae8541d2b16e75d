import { ApiError } from '../errors.ts';
import { moneyOf } from '../tenants/limits.ts';
import { isSpent, type Obstacle } from './counters.ts';
import { durationText } from './rate-headers.ts';
import type { Amount } from './spend-log.ts';

/** Says which limit is in the way, how far it is used, and when it will not be. */
export function refusal(obstacle: Obstacle, need: Amount, headers: Record<string, string>): ApiError {
  const { scope, milliseconds } = obstacle;
  const whose = scope.subject.kind === 'tenant' ? 'your tenant' : 'your key';
  const retryAfterSeconds = milliseconds === null ? null : milliseconds / 1000;
  const options = { headers, retryAfterSeconds };
  switch (obstacle.kind) {
    case 'requests':
    case 'tokens': {
      const { kind, limit, used } = obstacle;
      const asked = kind === 'tokens' ? `, requested ${need.tokens}` : '';
      const message = `Rate limit reached for ${whose} on ${kind} per minute: limit ${limit}, used ${used}${asked}. Please try again in ${durationText(milliseconds ?? 0)}.`;
      return new ApiError('rate_limit_exceeded', message, null, options);
    }
    case 'concurrency': {
      const message = `${capital(whose)} has ${obstacle.limit} requests running, as many as it may. Please try again when one has ended.`;
      return new ApiError('concurrency_limit_exceeded', message, null, options);
    }
    case 'budget': {
      const { budget, spent, held } = obstacle;
      const amount = (value: number) => (budget.unit === 'money' ? moneyOf(value) : value);
      const message =
        `The budget of ${whose} (${budget.unit}, ${budget.period}) has no room for this request: ${amount(budget.most)} in all, ` +
        `${amount(spent)} spent, ${amount(held)} held for requests that run, ${amount(need[budget.unit])} needed at most.`;
      if (!isSpent(obstacle, need)) {
        const hint = 'There may be room when some of those have ended. Please try again.';
        return new ApiError('budget_held', `${message} ${hint}`, null, { headers });
      }
      const reset =
        milliseconds === null
          ? 'It does not begin anew.'
          : `It begins anew with the next UTC ${budget.period}, at ${new Date(Date.now() + milliseconds).toISOString().slice(0, 16)}Z.`;
      return new ApiError('insufficient_quota', `${message} ${reset}`, null, options);
    }
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
