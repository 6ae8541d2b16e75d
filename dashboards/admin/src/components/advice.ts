import type { ApiError } from '../api/client.ts';

/** What to do, by the stable code; what is not here is said by the message alone. */
export const ADVICE: Readonly<Record<string, string>> = {
  network: 'Check that the gateway runs and that this machine reaches it, then try again.',
  dashboard: 'This is a mistake in the dashboard. Reload the page; if it happens again, please report it.',
  session_required: 'Sign in again.',
  csrf_token_required: 'This page is older than the session. Reload it, and do it again.',
  insufficient_permissions: "Sign in with an operator's key to do this.",
  invalid_api_key: 'Check that all of the key was copied, and that it was not revoked and has not expired.',
  too_many_attempts: 'Wait a minute, then try again.',
  admin_disabled: 'Start the server with POLYLORA_OPERATOR_KEY, or without --auth off.',
  keys_disabled: 'Start the server without --auth off to have tenants and keys.',
  cache_disabled: 'Start the server with --cache semantic, or --cache exact for equal questions only.',
  engine_unavailable: 'The server is starting or restarting. Try again in a few seconds.',
  storage_unavailable: 'The database or the store is away. Try again when it is back; the log says more.',
  adapter_invalid: 'Correct the files that the message names, and upload them again.',
  adapter_name_taken: 'Choose another name.',
  adapter_too_large: "An operator can raise the server's limits for adapters.",
  tenant_exists: 'Ids are never used twice, not even after a tenant was removed. Choose another.',
  uploads_exceeded: 'Finish or abandon an upload that is open, then try again.',
  insufficient_quota: "Raise the budget on the tenant's page, or wait until it begins anew.",
  rate_limit_exceeded: 'Wait a moment, or raise the limit.',
  concurrency_limit_exceeded: 'Wait for a request that runs, or raise the limit.',
};

export function adviceFor({ code }: ApiError): string | null {
  return ADVICE[code] ?? null;
}
