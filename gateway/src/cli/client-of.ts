import type { Invocation } from './arguments.ts';
import { AdminClient } from './client.ts';
import { UsageError } from './errors.ts';
import { plainHttpWarning } from './plain-http.ts';
import type { Surroundings } from './surroundings.ts';
import { printableLines } from './text.ts';

const USUAL_URL = 'http://127.0.0.1:8080';

/** A client of the server that is meant, with the key in the environment. @throws UsageError */
export function clientOf({ text }: Invocation, { env, stderr }: Surroundings): AdminClient {
  // An empty variable counts as unset, as it does for the server.
  const key = env.POLYLORA_OPERATOR_KEY?.trim() || null;
  if (key === null) {
    throw new UsageError(
      "Set POLYLORA_OPERATOR_KEY to the server's operator key: this is a command for its administrators.",
    );
  }
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new UsageError('POLYLORA_OPERATOR_KEY holds characters that a request cannot carry.');
  }
  const url = text('url') ?? (env.POLYLORA_URL || USUAL_URL);
  const client = new AdminClient(url, key);
  const warning = plainHttpWarning(url);
  if (warning !== null) stderr.write(printableLines(`${warning}\n`));
  return client;
}
