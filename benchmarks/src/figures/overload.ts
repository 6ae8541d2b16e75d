import { setTimeout as sleep } from 'node:timers/promises';
import { poissonArrivals } from '../engine-request.ts';
import { Refused, streamCompletion } from '../http/completion-stream.ts';
import { startGateway } from '../http/gateway.ts';
import { runLoad } from '../http/load.ts';
import { randomPrompt } from '../http/token-prompt.ts';
import { percentile } from '../statistics.ts';
import type { Figure } from './figure.ts';

/** Minutes of overload. RELIABILITY asks for ten. */
const MINUTES = 3;
const TENANTS = ['key-a', 'key-b', 'key-c', 'key-d'] as const;
const REQUEST = { promptTokens: 96, newTokens: 24 };
/** More at once make it no faster. */
const PEAK = { ...REQUEST, clients: 32, requestsPerClient: 8 };
const TIMES_PEAK = 2;
const TIMEOUT_SECONDS = 10;
/** The queues have filled after so long. */
const WARM_UP_SECONDS = 15;

interface Answer {
  readonly tenant: string;
  readonly endedAt: number;
  readonly firstTokenMs: number;
}

interface Refusal {
  readonly status: number;
  readonly afterMs: number;
  readonly retryAfter: string | null;
}

/** RELIABILITY 27. */
export const overload: Figure = {
  name: 'overload',
  description: `requests answered a second while ${TENANTS.length} tenants send ${TIMES_PEAK} × what can be carried, for as many minutes as there are rounds ÷ at the peak`,
  must: '>=',
  bound: 0.9,
  async measure({ rounds: minutes = MINUTES }) {
    const gateway = await startGateway([]);
    try {
      const fields = () => ({ model: 'base' });
      await runLoad({ url: gateway.url, fields }, PEAK, 1);
      const peak = await runLoad({ url: gateway.url, fields }, PEAK, 2);
      const began = Math.min(...peak.map(({ startedAt }) => startedAt));
      const peakRate = peak.length / ((Math.max(...peak.map(({ endedAt }) => endedAt)) - began) / 1000);
      const { answers, refusals } = await sendTooMuch(gateway.url, TIMES_PEAK * peakRate, minutes * 60);
      const rate = answers.length / (minutes * 60);
      const mean = answers.length / TENANTS.length;
      const shares = TENANTS.map(
        (tenant) => answers.filter((answer) => answer.tenant === tenant).length / mean,
      );
      const furthest = Math.max(...shares.map((share) => Math.abs(share - 1)));
      const statuses = [...new Set(refusals.map(({ status }) => status))];
      const told = refusals.filter(({ status, retryAfter }) => [429, 503].includes(status) && retryAfter);
      const alsoShort = [
        told.length < refusals.length && 'a refusal was no 429 or 503 with retry-after',
        furthest > 0.1 && `a tenant is ${(100 * furthest).toFixed(1)} % off its share`,
      ];
      return {
        value: rate / peakRate,
        alsoShort,
        details: [
          `peak ${peakRate.toFixed(2)} requests a second; ${rate.toFixed(2)} answered while ${(TIMES_PEAK * peakRate).toFixed(2)} came, in ${minutes} min`,
          `first token within ${(
            percentile(
              answers.map(({ firstTokenMs }) => firstTokenMs),
              0.95,
            ) / 1000
          ).toFixed(1)} s for 95 % of the answered; timeout ${TIMEOUT_SECONDS} s`,
          `refused, ${told.length} of ${refusals.length} with retry-after: ${statuses.map((status) => `${refusals.filter((each) => each.status === status).length} × ${status}`).join(', ')}; half within ${percentile(
            refusals.map(({ afterMs }) => afterMs),
            0.5,
          ).toFixed(0)} ms, 95 % within ${percentile(
            refusals.map(({ afterMs }) => afterMs),
            0.95,
          ).toFixed(0)} ms`,
          `answers of each tenant ÷ the mean: ${shares.map((share) => share.toFixed(3)).join(', ')}; furthest ${(100 * furthest).toFixed(1)} % must <= 10 %`,
        ],
      };
    } finally {
      await gateway.stop();
    }
  },
};

/** What came of the requests after the warm-up, by when they ended. */
async function sendTooMuch(
  url: string,
  perSecond: number,
  seconds: number,
): Promise<{ answers: Answer[]; refusals: Refusal[] }> {
  const answers: Answer[] = [];
  const refusals: Refusal[] = [];
  const end = new AbortController();
  const beginning = performance.now();
  const counts = (at: number) => at > beginning + WARM_UP_SECONDS * 1000 && !end.signal.aborted;
  const sent: Promise<void>[] = [];
  const send = async (tenant: string, seed: number) => {
    const startedAt = performance.now();
    const body = {
      model: 'base',
      prompt: randomPrompt(REQUEST.promptTokens, seed),
      max_tokens: REQUEST.newTokens,
      ignore_eos: true,
      timeout: TIMEOUT_SECONDS,
    };
    try {
      const { endedAt, firstTokenAt } = await streamCompletion(url, body, {
        apiKey: tenant,
        signal: end.signal,
      });
      if (counts(endedAt)) answers.push({ tenant, endedAt, firstTokenMs: firstTokenAt - startedAt });
    } catch (error) {
      if (end.signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      const { status, retryAfter } = error;
      const now = performance.now();
      if (counts(now)) refusals.push({ status, retryAfter, afterMs: now - startedAt });
    }
  };
  for (const [index, tenant] of TENANTS.entries()) {
    const arrivals = poissonArrivals(perSecond / TENANTS.length, WARM_UP_SECONDS + seconds, index + 1);
    sent.push(
      ...arrivals.map(async (second, request) => {
        await sleep(Math.max(0, beginning + second * 1000 - performance.now()));
        await send(tenant, (index + 1) * 1_000_003 + request);
      }),
    );
  }
  const all = Promise.all(sent);
  await Promise.race([all, sleep((WARM_UP_SECONDS + seconds) * 1000)]);
  end.abort();
  await all;
  return { answers, refusals };
}
