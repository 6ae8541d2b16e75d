import type { Context } from 'hono';
import { describe, expect, it } from 'vitest';
import type { GatewayEnv } from './context.ts';
import { Proxies } from './proxies.ts';

/** A request over a connection from an address. */
function from(remoteAddress: string, headers: Record<string, string> = {}): Context<GatewayEnv> {
  const incoming = { socket: { remoteAddress } };
  return {
    env: { incoming },
    req: { header: (name: string) => headers[name] },
  } as unknown as Context<GatewayEnv>;
}

describe('where a request comes from', () => {
  const proxies = new Proxies(['10.0.0.0/8', '192.0.2.1', '2001:db8:f::/48']);

  it.each([
    ['198.51.100.7', undefined, '198.51.100.7'],
    ['198.51.100.7', '203.0.113.9', '198.51.100.7'],
    ['10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['::ffff:10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['::ffff:198.51.100.7', undefined, '198.51.100.7'],
    ['10.1.2.3', '1.1.1.1, 203.0.113.9, 192.0.2.1, 10.9.9.9', '203.0.113.9'],
    ['10.1.2.3', '10.4.4.4', '10.4.4.4'],
    ['10.1.2.3', 'nobody', '10.1.2.3'],
    ['10.1.2.3', undefined, '10.1.2.3'],
    ['2001:db8:f:1::5', '2001:db8:0:42:1:2:3:4', '2001:db8:0:42::/64'],
    ['2001:db8::1', undefined, '2001:db8:0:0::/64'],
    ['2001:0DB8:0:0::9', undefined, '2001:db8:0:0::/64'],
    ['::1', undefined, '0:0:0:0::/64'],
    ['fe80::1%eth0', undefined, 'fe80:0:0:0::/64'],
  ])('%s that says %s is %s', (peer, forwarded, address) => {
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    expect(proxies.origin(from(peer, headers as Record<string, string>)).address).toBe(address);
  });

  it('is https where a trusted proxy says so first', () => {
    const isSecure = (peer: string, protocol: string) =>
      proxies.origin(from(peer, { 'x-forwarded-proto': protocol })).isSecure;
    expect([isSecure('10.0.0.1', 'https'), isSecure('10.0.0.1', 'HTTPS, http')]).toEqual([true, true]);
    expect([isSecure('10.0.0.1', 'http'), isSecure('11.0.0.1', 'https')]).toEqual([false, false]);
  });
});

it.each(['', 'proxy.example', '10.0.0.0/33', '10.0.0.0/x', '10.0.0.0/', '::/129', '10.0.0'])(
  'is nothing that %j could say',
  (text) => {
    expect(() => new Proxies([text])).toThrow();
  },
);
