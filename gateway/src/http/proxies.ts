import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Context } from 'hono';
import type { GatewayEnv } from './context.ts';

/** Where a request comes from. */
export interface Origin {
  /** An address, or the network of one where a client has as many addresses as it likes (IPv6: /64). */
  readonly address: string;
  /** Whether the client speaks https, with a proxy before this server. */
  readonly isSecure: boolean;
}

/** Where there is no connection. */
const NOWHERE = 'unknown';
/** Of an IPv6 address: what a client is given is so large, at least. */
const NETWORK_GROUPS = 4;
const GROUPS = 8;

/** Proxies before the server, of which is believed what they say of their clients. What others say is not. */
export class Proxies {
  readonly #trusted = new BlockList();

  /** @param addresses `10.0.0.1` or `10.0.0.0/8`, IPv6 as well. @throws Error for what is none */
  constructor(addresses: readonly string[]) {
    for (const text of addresses) {
      const [address = '', bits] = text.trim().split('/', 2);
      const family = familyOf(address);
      if (isIP(address) === 0) throw new Error(`${text} is no address`);
      if (bits === undefined) this.#trusted.addAddress(address, family);
      else this.#trusted.addSubnet(address, /^\d+$/.test(bits) ? Number(bits) : -1, family);
    }
  }

  /** The client's own address: the last one that no trusted proxy has. */
  origin(c: Context<GatewayEnv>): Origin {
    const peer = c.env?.incoming?.socket.remoteAddress ?? NOWHERE;
    if (!this.#isTrusted(peer)) return { address: networkOf(peer), isSecure: false };
    const forwarded = c.req.header('x-forwarded-for')?.split(',') ?? [];
    let address = peer;
    while (this.#isTrusted(address)) {
      const before = forwarded.pop()?.trim() ?? '';
      if (isIP(before) === 0) break;
      address = before;
    }
    const [protocol = ''] = c.req.header('x-forwarded-proto')?.split(',') ?? [];
    return { address: networkOf(address), isSecure: protocol.trim().toLowerCase() === 'https' };
  }

  #isTrusted(address: string): boolean {
    return isIP(address) !== 0 && this.#trusted.check(address, familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

function networkOf(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // "::" stands for as many zeros as are missing.
  while (groups.length < GROUPS - after.length) groups.push('0');
  const network = [...groups, ...after].slice(0, NETWORK_GROUPS);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
