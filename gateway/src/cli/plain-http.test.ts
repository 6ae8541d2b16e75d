import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { plainHttpWarning } from './plain-http.ts';

describe('plainHttpWarning', () => {
  it.each([
    'http://polylora.example.com',
    'http://10.1.2.3:8080/v1',
    'http://[2001:db8::1]:8080',
    'http://localhost.example.com',
  ])('warns of %s', (url) => {
    expect(plainHttpWarning(url)).toContain(new URL(url).host);
  });

  it.each([
    'https://polylora.example.com',
    'http://localhost:8080',
    'http://a.localhost',
    'http://127.0.0.1',
    'http://127.1:8080',
    'http://[::1]:8080',
  ])('says nothing of %s', (url) => {
    expect(plainHttpWarning(url)).toBeNull();
  });

  it('says nothing of the addresses of this machine', () => {
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    for (const { address, family } of own) {
      if (address.startsWith('fe80')) continue;
      expect(plainHttpWarning(family === 'IPv6' ? `http://[${address}]` : `http://${address}`)).toBeNull();
    }
  });
});
