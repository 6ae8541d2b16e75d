import { describe, expect, it } from 'vitest';
import { Allowlist, HUB_HOSTS } from './allowlist.ts';

const permit = (entries: readonly string[], url: string) => new Allowlist(entries).permit(new URL(url));

describe('Allowlist', () => {
  it.each([
    'https://huggingface.co/a/b',
    'https://HuggingFace.co:443/',
    'https://cdn-lfs.huggingface.co/',
    'https://cas-bridge.xethub.hf.co/x',
  ])('lets %s through for the hub, at public addresses', (url) => {
    expect(permit(HUB_HOSTS, url)).toEqual({ inner: false });
  });

  it.each([
    'http://huggingface.co/',
    'https://huggingface.co:8443/',
    'https://hf.co/',
    'https://evilhf.co/',
    'https://huggingface.co.evil.example/',
    'https://huggingface.co./',
    'https://evil.example/huggingface.co',
    'https://huggingface.co@evil.example/',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://[::ffff:127.0.0.1]/',
    'ftp://huggingface.co/',
    'file:///etc/passwd',
  ])('does not let %s through', (url) => {
    expect(permit(HUB_HOSTS, url)).toBeNull();
  });

  it('takes an origin as it is written, and no other port or scheme of its host', () => {
    const entries = ['http://127.0.0.1:8081', 'https://hub.internal'];
    expect(permit(entries, 'http://127.0.0.1:8081/x')).toEqual({ inner: true });
    expect(permit(entries, 'http://2130706433:8081/x')).toEqual({ inner: true });
    expect(permit(entries, 'https://hub.internal/x')).toEqual({ inner: true });
    for (const url of [
      'http://127.0.0.1:8082/',
      'https://127.0.0.1:8081/',
      'http://hub.internal/',
      'http://localhost:8081/',
    ]) {
      expect(permit(entries, url)).toBeNull();
    }
  });

  it.each([
    '',
    '*',
    '*.',
    '*.*',
    'localhost',
    '127.0.0.1',
    '[::1]',
    'a b',
    'https://',
    'https://x/path',
    'https://u@x',
    'ftp://x',
    '0x7f.1',
  ])('refuses the entry %j', (entry) => {
    expect(() => new Allowlist([entry])).toThrow(RangeError);
  });
});
