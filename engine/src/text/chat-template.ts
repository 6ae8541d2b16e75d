import { Template } from '@huggingface/jinja';
import { type ChatMessage, EngineError } from '../types.ts';

/** What `raise_exception` in a template throws: the template refuses the chat. */
class Refusal extends Error {}

/**
 * Gives `raise_exception` our own function. The line break belongs to the tag (`trim_blocks`), so the
 * template itself starts at the start of a line as it would alone.
 */
const PREAMBLE = '{% set raise_exception = refuse %}\n';

export interface SpecialTexts {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

/** A model's chat template, rendered as transformers' `apply_chat_template` does. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #variables: Record<string, unknown>;
  readonly #knowsDeveloper: boolean;

  /** @throws EngineError `invalid_chat_template` where the template's syntax is wrong. */
  constructor(source: string, { bosToken, eosToken }: SpecialTexts) {
    try {
      this.#template = new Template(PREAMBLE + source);
    } catch (error) {
      throw failure('cannot be parsed', error);
    }
    this.#variables = {
      tools: null,
      documents: null,
      add_generation_prompt: true,
      refuse,
      ...(bosToken === null ? {} : { bos_token: bosToken }),
      ...(eosToken === null ? {} : { eos_token: eosToken }),
    };
    this.#knowsDeveloper = source.includes('developer');
  }

  /**
   * The prompt's text, up to where the assistant answers. The role `developer` is the newer name of
   * `system`, which templates that do not know it get.
   *
   * @throws EngineError `invalid_prompt` with the template's own words where it refuses the chat,
   * `invalid_chat_template` where it fails.
   */
  render(messages: readonly ChatMessage[]): string {
    const known = messages.map(({ role, ...rest }) => ({
      role: role === 'developer' && !this.#knowsDeveloper ? 'system' : role,
      ...rest,
    }));
    try {
      return this.#template.render({ ...this.#variables, messages: known });
    } catch (error) {
      if (error instanceof Refusal) {
        throw new EngineError('invalid_prompt', `The chat template refuses these messages: ${error.message}`);
      }
      throw failure('failed', error);
    }
  }
}

function refuse(message: unknown): never {
  throw new Refusal(String(message));
}

function failure(what: string, cause: unknown): EngineError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new EngineError('invalid_chat_template', `The model's chat template ${what}: ${reason}`, { cause });
}
