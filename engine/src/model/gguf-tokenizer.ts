/**
 * Turns the tokenizer in a GGUF file's metadata into a Hugging Face `tokenizer.json`.
 */
import { EngineError } from '../types.ts';
import type { ModelText } from './decoder.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import { bytePairPreset } from './gguf-pre-tokenizers.ts';
import { mergesFromScores } from './sentence-piece.ts';

/** llama.cpp's token types. */
const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Control tokens that end an answer by their name, whatever the metadata says, as in llama.cpp. */
const END_TOKENS = new Set(['<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|endoftext|>', '<|end_of_text|>']);

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/**
 * @throws EngineError `model_not_supported` naming a tokenizer or pre-tokenizer that is not known,
 * `model_corrupt` where the metadata contradicts itself.
 */
export function readGgufText(metadata: GgufMetadata): ModelText {
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const types = metadata.has('tokenizer.ggml.token_type')
    ? metadata.numbers('tokenizer.ggml.token_type')
    : tokens.map(() => TokenType.normal);
  if (types.length !== tokens.length) {
    throw new EngineError('model_corrupt', `${tokens.length} tokens have ${types.length} types.`);
  }
  const vocabulary = { tokens, types };
  const tokenizer = buildTokenizer(metadata, vocabulary);
  return {
    tokenizerJson: JSON.stringify(tokenizer),
    chatTemplate: metadata.string('tokenizer.chat_template', '') || null,
    bosToken: namedToken(metadata, tokens, 'bos'),
    eosToken: namedToken(metadata, tokens, 'eos'),
    eosTokenIds: endTokenIds(metadata, vocabulary),
  };
}

function buildTokenizer(metadata: GgufMetadata, vocabulary: Vocabulary): Record<string, unknown> {
  const model = metadata.string('tokenizer.ggml.model');
  switch (model) {
    case 'gpt2':
      return bytePairTokenizer(metadata, vocabulary);
    case 'llama':
      return sentencePieceTokenizer(metadata, vocabulary);
    default:
      throw new EngineError(
        'model_not_supported',
        `The GGUF tokenizer ${model} is not supported; gpt2 (byte-level BPE) and llama (SentencePiece) are.`,
      );
  }
}

function bytePairTokenizer(metadata: GgufMetadata, vocabulary: Vocabulary): Record<string, unknown> {
  const preset = bytePairPreset(metadata.string('tokenizer.ggml.pre', 'default'));
  return {
    ...tokenizerFrame(metadata, vocabulary, preset.addBosByDefault),
    normalizer: preset.normalizer,
    pre_tokenizer: preset.preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: vocabularyIds(vocabulary.tokens),
      merges: metadata.strings('tokenizer.ggml.merges').map(splitMerge),
      ignore_merges: preset.ignoreMerges,
      byte_fallback: false,
      fuse_unk: false,
    },
  };
}

/** SentencePiece BPE, as transformers converts Llama's: merges from the scores, bytes where no piece fits. */
function sentencePieceTokenizer(metadata: GgufMetadata, vocabulary: Vocabulary): Record<string, unknown> {
  const { tokens, types } = vocabulary;
  const addSpace = metadata.boolean('tokenizer.ggml.add_space_prefix', true);
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const unknown = tokens[metadata.number('tokenizer.ggml.unknown_token_id', 0)];
  const pieces = tokens.map((_, id) => types[id] === TokenType.normal || types[id] === TokenType.userDefined);
  const merges = metadata.has('tokenizer.ggml.merges')
    ? metadata.strings('tokenizer.ggml.merges').map(splitMerge)
    : mergesFromScores(tokens, metadata.numbers('tokenizer.ggml.scores'), pieces);
  return {
    ...tokenizerFrame(metadata, vocabulary, true),
    normalizer: addSpace
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] }
      : spaces,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addSpace ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      vocab: vocabularyIds(tokens),
      merges,
      unk_token: unknown ?? null,
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: false,
    },
  };
}

/** What every tokenizer has: special tokens, and those that are added around a text. */
function tokenizerFrame(
  metadata: GgufMetadata,
  { tokens, types }: Vocabulary,
  addBosByDefault: boolean,
): Record<string, unknown> {
  const special = new Set<number>([TokenType.control, TokenType.unknown]);
  const added = tokens.flatMap((content, id) => {
    const type = types[id]!;
    if (!special.has(type) && type !== TokenType.userDefined) return [];
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...plain, special: special.has(type) }];
  });
  const bos = metadata.boolean('tokenizer.ggml.add_bos_token', addBosByDefault);
  const eos = metadata.boolean('tokenizer.ggml.add_eos_token', false);
  const before = bos ? tokenId(metadata, tokens, 'bos') : undefined;
  const after = eos ? tokenId(metadata, tokens, 'eos') : undefined;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    post_processor: postProcessor(tokens, before, after),
  };
}

function postProcessor(
  tokens: readonly string[],
  before: number | undefined,
  after: number | undefined,
): Record<string, unknown> | null {
  const ids = [before, after].filter((id) => id !== undefined);
  if (ids.length === 0) return null;
  const token = (id: number | undefined, type: number) =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens[id], type_id: type } }];
  const text = (id: string, type: number) => [
    ...token(before, type),
    { Sequence: { id, type_id: type } },
    ...token(after, type),
  ];
  return {
    type: 'TemplateProcessing',
    single: text('A', 0),
    pair: [...text('A', 0), ...text('B', 1)],
    special_tokens: Object.fromEntries(
      ids.map((id) => [tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }]),
    ),
  };
}

type NamedToken = 'bos' | 'eos' | 'eot' | 'eom';

function tokenId(metadata: GgufMetadata, tokens: readonly string[], name: NamedToken): number | undefined {
  const key = `tokenizer.ggml.${name}_token_id`;
  if (!metadata.has(key)) return undefined;
  const id = metadata.number(key);
  if (tokens[id] === undefined) throw new EngineError('model_corrupt', `${key} is ${id}, which is no token.`);
  return id;
}

function namedToken(metadata: GgufMetadata, tokens: readonly string[], name: NamedToken): string | null {
  const id = tokenId(metadata, tokens, name);
  return id === undefined ? null : tokens[id]!;
}

function endTokenIds(metadata: GgufMetadata, { tokens, types }: Vocabulary): number[] {
  const named = (['eos', 'eot', 'eom'] as const).map((name) => tokenId(metadata, tokens, name));
  const byName = tokens.flatMap((token, id) =>
    types[id] === TokenType.control && END_TOKENS.has(token) ? [id] : [],
  );
  return [...new Set([...named, ...byName])].filter((id) => id !== undefined);
}

/** Without a prototype, so that a token may be called `__proto__`. */
function vocabularyIds(tokens: readonly string[]): Record<string, number> {
  const ids: Record<string, number> = Object.create(null);
  tokens.forEach((token, id) => {
    ids[token] = id;
  });
  return ids;
}

/** "a b"; the left part may itself be a space. */
function splitMerge(merge: string): [string, string] {
  const space = merge.indexOf(' ', 1);
  if (space < 0) throw new EngineError('model_corrupt', `The tokenizer's merge "${merge}" has no two parts.`);
  return [merge.slice(0, space), merge.slice(space + 1)];
}
