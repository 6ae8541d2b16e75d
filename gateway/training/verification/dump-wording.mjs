// `node dump-wording.mjs <file with a JSON array of pairs of texts> <output>`: writes the product's own features of wording for each
// pair as float32, for train.py.
import { readFileSync, writeFileSync } from 'node:fs';
import { readWording } from '../../dist/cache/verification/wording.js';
import { wordingFeatures } from '../../dist/cache/verification/wording-features.js';

const [pairsFile, outputFile] = process.argv.slice(2);
const wordings = new Map();
const wordingOf = (text) => {
  const known = wordings.get(text) ?? readWording(text);
  wordings.set(text, known);
  return known;
};
const pairs = JSON.parse(readFileSync(pairsFile, 'utf8'));
const rows = pairs.map(([one, other]) => wordingFeatures(wordingOf(one), wordingOf(other)));
writeFileSync(outputFile, Buffer.from(Float32Array.from(rows.flatMap((row) => [...row])).buffer));
