import { EngineError } from '../types.ts';

/** What surrounds a byte-level BPE model, by the name that GGUF files state (`tokenizer.ggml.pre`). */
interface BytePairPreset {
  readonly normalizer: Record<string, unknown> | null;
  readonly preTokenizer: Record<string, unknown>;
  /** A word that is itself a token is taken whole. */
  readonly ignoreMerges: boolean;
  readonly addBosByDefault: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LLAMA3 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const QWEN2 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const UPPER = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}';
const LOWER = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]*[${LOWER}]+|[^\\r\\n\\p{L}\\p{N}]?[${UPPER}]+[${LOWER}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

function byteLevel(useRegex: boolean) {
  return { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex };
}

function sequence(...pretokenizers: Record<string, unknown>[]) {
  return { type: 'Sequence', pretokenizers };
}

function splitBy(regex: string) {
  return sequence(
    { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false },
    byteLevel(false),
  );
}

const GPT2: BytePairPreset = {
  normalizer: null,
  preTokenizer: byteLevel(true),
  ignoreMerges: false,
  addBosByDefault: false,
};
const LLAMA_BPE: BytePairPreset = {
  normalizer: null,
  preTokenizer: splitBy(LLAMA3),
  ignoreMerges: true,
  addBosByDefault: true,
};

const PRESETS = new Map<string, BytePairPreset>([
  ['default', GPT2],
  ['gpt-2', GPT2],
  [
    'smollm',
    { ...GPT2, preTokenizer: sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)) },
  ],
  ['llama-bpe', LLAMA_BPE],
  ['llama3', LLAMA_BPE],
  ['llama-v3', LLAMA_BPE],
  ['tekken', { ...LLAMA_BPE, preTokenizer: splitBy(TEKKEN) }],
  [
    'qwen2',
    {
      normalizer: { type: 'NFC' },
      preTokenizer: splitBy(QWEN2),
      ignoreMerges: false,
      addBosByDefault: false,
    },
  ],
]);

/** @throws EngineError `model_not_supported` naming a pre-tokenizer that is not known. */
export function bytePairPreset(name: string): BytePairPreset {
  const preset = PRESETS.get(name);
  if (preset === undefined) {
    throw new EngineError(
      'model_not_supported',
      `The GGUF pre-tokenizer ${name} is not supported; ${[...PRESETS.keys()].join(', ')} are.`,
    );
  }
  return preset;
}
