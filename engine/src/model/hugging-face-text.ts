/** The tokenizer and chat template of a Hugging Face model directory. */
import { join } from 'node:path';
import { z } from 'zod';
import { EngineError } from '../types.ts';
import type { ModelText } from './decoder.ts';
import { parseJson, readOptionalJson, readOptionalText } from './json-file.ts';

const TOKENIZER = 'tokenizer.json';
const TOKENIZER_CONFIG = 'tokenizer_config.json';
const TEMPLATE = 'chat_template.jinja';
const TEMPLATE_JSON = 'chat_template.json';

export const TEXT_FILES: readonly string[] = [TOKENIZER, TOKENIZER_CONFIG, TEMPLATE, TEMPLATE_JSON];

const Token = z
  .union([z.string(), z.object({ content: z.string() }).transform((token) => token.content)])
  .nullish();

const TokenizerConfig = z.object({
  bos_token: Token,
  eos_token: Token,
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
});

const TemplateFile = z.object({ chat_template: z.string() });

/** As much of a tokenizer as it takes to find a token's id. */
const Tokenizer = z.object({
  added_tokens: z.array(z.object({ id: z.int(), content: z.string() })).default([]),
  model: z.looseObject({ type: z.string().nullish() }),
});

/**
 * @param endTokenIds what the model's configurations say; the tokenizer's own end token is added.
 * @throws EngineError `model_not_found` without a `tokenizer.json`, `model_corrupt` for a malformed file.
 */
export async function readHuggingFaceText(
  directory: string,
  endTokenIds: readonly number[],
): Promise<ModelText> {
  const file = join(directory, TOKENIZER);
  const tokenizerJson = await readOptionalText(file);
  if (tokenizerJson === null) {
    throw new EngineError(
      'model_not_found',
      `${directory} has no ${TOKENIZER}. Save the model's fast tokenizer there (save_pretrained in transformers).`,
    );
  }
  const tokenizer = parseJson(await readOptionalJson(file), file, Tokenizer);
  const configFile = join(directory, TOKENIZER_CONFIG);
  const config = parseJson((await readOptionalJson(configFile)) ?? {}, configFile, TokenizerConfig);
  const eosToken = config.eos_token ?? null;
  const eosId = tokenizer.added_tokens.find((token) => token.content === eosToken)?.id;
  return {
    tokenizerJson,
    chatTemplate: await readTemplate(directory, config.chat_template),
    bosToken: config.bos_token ?? null,
    eosToken,
    eosTokenIds: [...new Set(eosId === undefined ? endTokenIds : [...endTokenIds, eosId])],
  };
}

/** A file of its own wins over the tokenizer's configuration, as in transformers. */
async function readTemplate(
  directory: string,
  configured: z.infer<typeof TokenizerConfig>['chat_template'],
): Promise<string | null> {
  const template = await readOptionalText(join(directory, TEMPLATE));
  if (template !== null) return template;
  const json = await readOptionalJson(join(directory, TEMPLATE_JSON));
  if (json !== null) return parseJson(json, TEMPLATE_JSON, TemplateFile).chat_template;
  if (!Array.isArray(configured)) return configured ?? null;
  return configured.find(({ name }) => name === 'default')?.template ?? null;
}
