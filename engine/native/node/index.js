// Loads the addon that `npm run setup` builds beside this file.
import { createRequire } from 'node:module';

/** @type {typeof import('./index.d.ts')} */
const addon = createRequire(import.meta.url)('./polylora.node');

export const {
  compareTensors,
  Encoder,
  Executor,
  extractDelta,
  GrammarCompiler,
  readVector,
  TokenComparison,
  Tokenizer,
  VectorArena,
  vectorCodes,
  writeWeights,
} = addon;
