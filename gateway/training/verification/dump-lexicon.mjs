// `node dump-lexicon.mjs <any file> <output>`: writes the product's word lists as JSON, for augment.py.
import { writeFileSync } from 'node:fs';
import { KINDS_OF, OPPOSITES_OF } from '../../dist/cache/verification/lexicon.js';

const [, outputFile] = process.argv.slice(2);
writeFileSync(outputFile, JSON.stringify({ kinds: [...KINDS_OF], opposites: [...OPPOSITES_OF] }));
