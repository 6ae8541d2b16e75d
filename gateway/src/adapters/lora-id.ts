import { hash } from 'node:crypto';

/**
 * What llama-server's clients call an adapter by: a number. Made from the name alone, so that it never comes to mean
 * another adapter: not when grants come and go, not on another gateway, not after a restart. 31 bits, as many as such
 * clients have for it; of the thousand that a key can list, two have the same one in 4,000 cases, and are refused.
 */
export function loraId(name: string): number {
  return Number.parseInt(hash('sha256', `polylora-lora-id ${name}`, 'hex').slice(0, 8), 16) >>> 1;
}
