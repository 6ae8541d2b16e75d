/** What an operator's options are checked with: `@polylora/adapters-store/options`, which loads nothing large. */
export { parseS3Location } from './s3/location.ts';
export { parseSecretKey } from './secrets/secret-key.ts';
export { Allowlist, HUB_HOSTS } from './sources/egress/allowlist.ts';
