// `node scripts/generate-docs.mjs`: writes the pages of docs/ that are made from the code. A test keeps them
// current.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './paths.mjs';
import { setUp } from './setup.mjs';

await setUp();
const gateway = await import(pathToFileURL(join(ROOT, 'gateway', 'dist', 'index.js')).href);
writeFileSync(join(ROOT, 'docs', 'configuration.md'), gateway.configurationPage());
writeFileSync(join(ROOT, 'docs', 'errors.md'), gateway.errorsPage());
writeFileSync(join(ROOT, 'docs', 'metrics.md'), gateway.metricsPage());
writeFileSync(join(ROOT, 'docs', 'openai-api.md'), gateway.openaiApiPage());
const cachePage = join(ROOT, 'docs', 'cache.md');
writeFileSync(cachePage, gateway.withCategories(readFileSync(cachePage, 'utf8')));
