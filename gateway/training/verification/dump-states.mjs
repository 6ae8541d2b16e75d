// `node dump-states.mjs <file with a JSON array of texts> <output>`: writes what the product's own embedder makes of each text, for
// train.py. Training sees what the product sees, eight-bit weights and all.
//
// The output is a line of JSON with the token ids of each text, and after it the texts' states as float32 and their vectors.
import { createWriteStream, readFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { createEmbedder, defaultHome } from '@polylora/engine';

const TOGETHER = 512;

const [textsFile, outputFile] = process.argv.slice(2);
const texts = JSON.parse(readFileSync(textsFile, 'utf8'));
const home = process.env.POLYLORA_HOME || defaultHome(process.env);
const embedder = createEmbedder({
  model: 'all-MiniLM-L6-v2',
  home,
  hubToken: null,
  weights: 'int8',
  threads: 1,
  comparison: null,
  onProgress: console.error,
});
const { width } = await embedder.load();
const embeddings = [];
for (let begin = 0; begin < texts.length; begin += TOGETHER) {
  const inputs = texts.slice(begin, begin + TOGETHER);
  embeddings.push(...(await embedder.embed({ inputs, truncate: 'model', tokenStates: true })));
}
await embedder.close();

const output = createWriteStream(outputFile);
output.write(`${JSON.stringify({ width, tokenIds: embeddings.map(({ tokenIds }) => [...tokenIds]) })}\n`);
for (const { tokenStates } of embeddings) output.write(Buffer.from(tokenStates.buffer));
for (const { vector } of embeddings) output.write(Buffer.from(vector.buffer));
output.end();
await finished(output);
