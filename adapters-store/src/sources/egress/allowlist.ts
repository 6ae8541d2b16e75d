/** The Hugging Face Hub, and where it keeps files. */
export const HUB_HOSTS = ['huggingface.co', '*.huggingface.co', '*.hf.co'] as const;

/** What an allowlist says of a URL; null: nothing, so that it is refused. */
export interface Permission {
  /** An address of the operator's own network or machine will do. */
  readonly inner: boolean;
}

type Rule = (url: URL) => Permission | null;

const HOST = /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/;

/**
 * Which hosts are connected to. An entry is a host (`huggingface.co`), all hosts below one (`*.hf.co`), or an origin
 * (`https://hub.example:8443`). Hosts are reached by https at its usual port, at public addresses. An origin is
 * reached as it is written, at inner addresses as well: so an operator allows a server of their own.
 */
export class Allowlist {
  readonly #rules: readonly Rule[];

  /** @throws RangeError with the entry that is none */
  constructor(entries: readonly string[]) {
    this.#rules = entries.map((entry) => {
      const rule = ruleOf(entry.trim());
      if (rule === null)
        throw new RangeError(
          `'${entry}' is neither a host, such as huggingface.co, nor an origin, such as https://hub.example`,
        );
      return rule;
    });
  }

  permit(url: URL): Permission | null {
    for (const rule of this.#rules) {
      const permission = rule(url);
      if (permission !== null) return permission;
    }
    return null;
  }
}

function ruleOf(entry: string): Rule | null {
  if (entry.includes('://')) {
    const origin = URL.canParse(entry) ? new URL(entry) : null;
    const isOrigin =
      origin !== null &&
      /^https?:$/.test(origin.protocol) &&
      entry.toLowerCase().replace(/\/$/, '') === origin.origin;
    return isOrigin ? (url) => (url.origin === origin.origin ? { inner: true } : null) : null;
  }
  const host = entry.toLowerCase();
  // The last part of an address is a number, and of a name it never is.
  if (!HOST.test(host) || /\.\d+$/.test(host)) return null;
  const matches = host.startsWith('*.')
    ? (name: string) => name.endsWith(host.slice(1))
    : (name: string) => name === host;
  return ({ protocol, port, hostname }) =>
    protocol === 'https:' && port === '' && matches(hostname) ? { inner: false } : null;
}
