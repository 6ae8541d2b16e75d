import type { TokenLogprob, TokenLogprobs } from '@polylora/engine';

/** An upstream does not tell ids. */
const UNKNOWN_ID = -1;

interface ChatToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes?: readonly number[] | null;
}

/** Logprobs as the chat route has them. */
export interface UpstreamChatLogprobs {
  readonly content?: readonly (ChatToken & { readonly top_logprobs?: readonly ChatToken[] })[] | null;
}

/** Logprobs as the completion route has them. */
export interface UpstreamLegacyLogprobs {
  readonly tokens?: readonly string[];
  readonly token_logprobs?: readonly (number | null)[];
  readonly top_logprobs?: readonly (Readonly<Record<string, number>> | null)[] | null;
}

export function fromChatLogprobs({ content }: UpstreamChatLogprobs): TokenLogprobs[] {
  return (content ?? []).map((token) => ({
    top: (token.top_logprobs ?? []).map(fromChatToken),
    ...fromChatToken(token),
  }));
}

function fromChatToken({ token, logprob, bytes }: ChatToken): TokenLogprob {
  return { id: UNKNOWN_ID, text: token, bytes: bytes ?? [...Buffer.from(token)], logprob };
}

/** null for a token without a logprob: a prompt's first. */
export function fromLegacyLogprobs({
  tokens = [],
  token_logprobs: chosen = [],
  top_logprobs: top,
}: UpstreamLegacyLogprobs): (TokenLogprobs | null)[] {
  return tokens.map((name, index) => {
    const logprob = chosen[index] ?? null;
    if (logprob === null) return null;
    const others = Object.entries(top?.[index] ?? {});
    return { top: others.map(([other, value]) => named(other, value)), ...named(name, logprob) };
  });
}

/** A token by the name that the completion route gives it: its text, or its bytes where they are part of a character. */
function named(name: string, logprob: number): TokenLogprob {
  const bytes = bytesOf(name);
  return { id: UNKNOWN_ID, text: bytes.toString(), bytes: [...bytes], logprob };
}

export function bytesOf(name: string): Buffer {
  if (!/^bytes:(\\x[0-9a-f]{2})+$/.test(name)) return Buffer.from(name);
  return Buffer.from(name.slice('bytes:'.length).replaceAll('\\x', ''), 'hex');
}
