/** vLLM's `/tokenize` and `/detokenize`, which OpenAI's API has not. */
import { z } from 'zod';
import { messages } from './chat-request.ts';
import { integer, list, onlyNeutral, optional, text, unsupportedField } from './schema-parts.ts';

const MOST_TOKENS = 2 ** 18;

const model = optional(text(), 'All models have the tokenizer of the base; one that is named must be there.');
const returnTokenStrings = optional(z.boolean(), 'Tell the text of each token too.', false);

export const tokenizeTextBody = z.object({
  model,
  prompt: z.string().meta({ description: 'The text.' }),
  add_special_tokens: optional(z.boolean(), 'With what the tokenizer puts around every text.', true),
  return_token_strs: returnTokenStrings,
});

export const tokenizeChatBody = z.object({
  model,
  chat_template: unsupportedField(),
  chat_template_kwargs: unsupportedField(),
  tools: unsupportedField(),
  add_generation_prompt: onlyNeutral(z.literal(true)),
  continue_final_message: onlyNeutral(z.literal(false)),
  add_special_tokens: onlyNeutral(z.literal(false)),
  messages,
  return_token_strs: returnTokenStrings,
});

export const detokenizeBody = z.object({
  model,
  tokens: list(integer(0, 2 ** 31 - 1), 'integers', { max: MOST_TOKENS }).meta({ description: 'Token ids.' }),
});
