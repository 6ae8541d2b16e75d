import { type OpenMetricsContentType, Registry } from 'prom-client';
import { beforeEach, describe, expect, it } from 'vitest';
import { Instruments } from './instruments.ts';
import { TenantMeter } from './tenant-meter.ts';

let now: number;
let instruments: Instruments;
let meter: TenantMeter;
beforeEach(() => {
  now = 0;
  instruments = new Instruments(new Registry<OpenMetricsContentType>(), () => ({}));
  meter = new TenantMeter(instruments, () => now);
});

/** What the engine says when it was started so often. */
function charge(byTenant: Record<string, number>, total: number, restarts = 0): void {
  meter.served({ total, byTenant: new Map(Object.entries(byTenant)) }, restarts);
}

/** Service that is counted, by tenant. */
async function counted(): Promise<Record<string, number>> {
  const text = await instruments.text('text');
  const lines = text.matchAll(/^polylora_tenant_service_tokens_total\{tenant="(.*)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, tenant, tokens]) => [tenant, Number(tokens)]));
}

describe('what tenants were charged', () => {
  it('is followed while sequences run, and when the engine begins anew', async () => {
    charge({ acme: 40 }, 40);
    charge({ acme: 100, globex: 7 }, 107);
    charge({ acme: 100, globex: 7 }, 107);
    expect(await counted()).toEqual({ acme: 100, globex: 7 });
    // More than it had said before it died.
    charge({ acme: 130 }, 130, 1);
    expect(await counted()).toEqual({ acme: 230, globex: 7 });
  });

  it('is counted once, also of those that the engine forgets', async () => {
    charge({ gone: 50, back: 30, stays: 20 }, 100);
    // Each was charged 10 more before it was forgotten, and one of them 5 since it came back.
    charge({ back: 5, stays: 20 }, 125);
    expect(await counted()).toEqual({ gone: 50, back: 35, stays: 20, other: 20 });
    charge({ back: 25, gone: 60, stays: 20 }, 205);
    expect(await counted()).toEqual({ gone: 110, back: 55, stays: 20, other: 20 });
  });

  it('is the others’ beyond fifty tenants, and stays theirs when one of them takes another’s place', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `t${index}`);
    charge(Object.fromEntries(names.map((name) => [name, 10])), 600);
    expect(await counted()).toMatchObject({ t0: 10, t49: 10, other: 100 });
    for (let request = 0; request < 5; request++) meter.request('t59', 200, null);
    charge(Object.fromEntries(names.map((name) => [name, 11])), 660);
    const service = await counted();
    expect(Object.keys(service)).toHaveLength(51);
    expect(service).toMatchObject({ t49: 11, t59: 1, other: 110 });
    expect(service).not.toHaveProperty('t0');
  });
});
