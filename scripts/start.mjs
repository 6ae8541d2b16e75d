// `npm start [-- <arguments of polylora serve>]`: sets up what is missing, then serves.
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CLI, ROOT } from './paths.mjs';
import { setUp } from './setup.mjs';

await setUp();

const extra = process.argv.slice(2);
// The demo adapters fit the default model only, so they give way to any choice of model, adapters or upstream.
const choosesItsOwn =
  extra.some((argument) => /^--(adapters|model|config|upstream)(=|$)/.test(argument)) ||
  ['POLYLORA_ADAPTERS', 'POLYLORA_MODEL', 'POLYLORA_CONFIG', 'POLYLORA_UPSTREAM'].some(
    (name) => process.env[name],
  );
const adapters = relative(process.cwd(), join(ROOT, 'examples', 'adapters'));
// In this process, so that signals reach the gateway at once and its exit status is ours.
process.argv = [process.execPath, CLI, 'serve', ...(choosesItsOwn ? [] : ['--adapters', adapters]), ...extra];
await import(pathToFileURL(CLI).href);
