import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** What set-up remembers between runs; safe to delete at any time. */
export const SETUP_CACHE = join(ROOT, '.cache', 'setup');

export const RUST_WORKSPACE = join(ROOT, 'engine', 'native');
export const NATIVE_PACKAGE = join(RUST_WORKSPACE, 'node');
export const CLI = join(ROOT, 'gateway', 'dist', 'cli.js');

/** The admin dashboard's web app, which the gateway serves. */
export const DASHBOARD = join(ROOT, 'dashboards', 'admin');
