import { describe, expect, it } from 'vitest';
import { reachOf } from './addresses.ts';

describe('reachOf', () => {
  it.each(['1.1.1.1', '104.18.0.1', '2606:4700::1111'])('%s is public', (address) => {
    expect(reachOf(address)).toBe('public');
  });

  it.each([
    '127.0.0.1',
    '127.255.255.254',
    '::1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    'fd00::1',
    // As old functions of the C library read them.
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '127.1',
  ])('%s is the own network or machine', (address) => {
    expect(reachOf(address)).toBe('inner');
  });

  it.each([
    ['link-local', '169.254.1.1'],
    ['metadata', '169.254.169.254'],
    ['metadata as a number', '2852039166'],
    ['metadata of Azure', '168.63.129.16'],
    ['metadata of Alibaba', '100.100.100.200'],
    ['metadata of Oracle', '192.0.0.192'],
    ['metadata over IPv6', 'fd00:ec2::254'],
    ['unspecified', '0.0.0.0'],
    ['unspecified IPv6', '::'],
    ['IPv4-mapped', '::ffff:127.0.0.1'],
    ['IPv4-mapped public', '::ffff:8.8.8.8'],
    ['IPv4-mapped in hexadecimal', '::ffff:a9fe:a9fe'],
    ['IPv4-compatible', '::127.0.0.1'],
    ['NAT64', '64:ff9b::7f00:1'],
    ['local NAT64', '64:ff9b:1::1'],
    ['6to4', '2002:7f00:1::'],
    ['Teredo', '2001:0:1::'],
    ['link-local IPv6', 'fe80::1'],
    ['with a zone', 'fe80::1%eth0'],
    ['site-local', 'fec0::1'],
    ['multicast', '224.0.0.1'],
    ['multicast IPv6', 'ff02::1'],
    ['broadcast', '255.255.255.255'],
    ['benchmarking', '198.18.0.1'],
    ['documentation', '2001:db8::1'],
    ['reserved', '240.0.0.1'],
    ['no address', 'localhost'],
    ['nothing', ''],
  ])('an address that is %s is never connected to', (_, address) => {
    expect(reachOf(address)).toBe('never');
  });
});
