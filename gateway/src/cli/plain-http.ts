import { networkInterfaces } from 'node:os';

/** What whoever runs the command should know before its key is sent to an address; null: nothing. */
export function plainHttpWarning(url: string): string | null {
  const { protocol, hostname, host } = new URL(url);
  if (protocol !== 'http:' || isThisMachine(hostname)) return null;
  return `Warning: the operator key goes to ${host} unencrypted, and whoever is on the way can read it. Use https.`;
}

function isThisMachine(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  // The parser of URLs has written every form of an IPv4 address in this one.
  if (name === '::1' || /^127(\.\d+){3}$/.test(name)) return true;
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return own.some(({ address }) => address.toLowerCase() === name);
}
