import ipaddr from 'ipaddr.js';

/** Where clouds tell a machine its own secrets, beside the link-local addresses. */
const METADATA: ReadonlySet<string> = new Set([
  // Alibaba's
  '100.100.100.200',
  // Azure's, in a range that is otherwise public
  '168.63.129.16',
  // Oracle's
  '192.0.0.192',
  // Amazon's
  'fd00:ec2::254',
  'fd00:ec2::23',
]);
/** What an operator may name beside public addresses. */
const INNER: ReadonlySet<string> = new Set(['loopback', 'private', 'uniqueLocal', 'carrierGradeNat']);

/**
 * Who may be connected to: `public`, an address of the Internet and nothing else; `inner`, one of the operator's own
 * network or machine; `never`, whatever an operator says.
 */
export type Reach = 'public' | 'inner' | 'never';

/** @param address as the resolver or a URL's host gives it, without brackets */
export function reachOf(address: string): Reach {
  if (!ipaddr.isValid(address)) return 'never';
  const parsed = ipaddr.parse(address);
  if (METADATA.has(parsed.toString())) return 'never';
  const range = parsed.range();
  // Addresses that lead to an IPv4 address by way of another are not what they seem, and nobody needs them here.
  if (range === 'unicast') return isGlobal(parsed) ? 'public' : 'never';
  return INNER.has(range) ? 'inner' : 'never';
}

/** Of IPv6, only 2000::/3 was given out; the rest has old forms that hold an IPv4 address. */
function isGlobal(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.kind() === 'ipv4' || (address.toByteArray()[0]! & 0xe0) === 0x20;
}
