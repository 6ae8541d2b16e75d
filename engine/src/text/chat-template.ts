import { hash } from 'node:crypto';
import { Template } from '@huggingface/jinja';
import { knowsTools } from '../tools/tool-format.ts';
import { callsInText, toolsInText } from '../tools/tools-in-text.ts';
import { type ChatMessage, EngineError, type Tool } from '../types.ts';
import { EndlessTemplates } from './endless-templates.ts';
import { TimeLimitReached, withTimeLimit } from './time-limit.ts';

/** No template of a model takes a hundredth of it, for as many messages as fit. */
const LONGEST_MILLISECONDS = 2_000;
const LONGEST_RANGE = 100_000;

/** One process renders for one model, but a template may be read again. */
const endless = new EndlessTemplates();

/** What `raise_exception` in a template throws: the template refuses the chat. */
class Refusal extends Error {}

/**
 * Gives `raise_exception` and `range` our own functions. The line break belongs to the tag (`trim_blocks`), so the
 * template itself starts at the start of a line as it would alone.
 */
const PREAMBLE = '{% set raise_exception = refuse %}{% set range = bounded_range %}\n';

/** Jinja trims what is not defined to nothing, as Hermes' templates need it for tools without descriptions; our library fails. */
const TRIM = /\|\s*trim\b/g;

export interface SpecialTexts {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

/** A model's chat template, rendered as transformers' `apply_chat_template` does. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #digest: string;
  readonly #variables: Record<string, unknown>;
  readonly #knowsDeveloper: boolean;
  readonly #knowsTools: boolean;
  /** Mistral's takes no other ids of calls. */
  readonly #shortIds: boolean;

  /** @throws EngineError `invalid_chat_template` where the template's syntax is wrong. */
  constructor(source: string, { bosToken, eosToken }: SpecialTexts) {
    try {
      this.#template = new Template(PREAMBLE + source.replace(TRIM, "| default('') | trim"));
    } catch (error) {
      throw failure('cannot be parsed', error);
    }
    this.#variables = {
      tools: null,
      documents: null,
      add_generation_prompt: true,
      refuse,
      bounded_range: range,
      ...(bosToken === null ? {} : { bos_token: bosToken }),
      ...(eosToken === null ? {} : { eos_token: eosToken }),
    };
    this.#digest = EndlessTemplates.digestOf(source);
    this.#knowsDeveloper = source.includes('developer');
    this.#knowsTools = knowsTools(source);
    this.#shortIds = source.includes('[TOOL_CALLS]');
  }

  /**
   * The prompt's text, up to where the assistant answers. The role `developer` is the newer name of
   * `system`, which templates that do not know it get.
   *
   * @throws EngineError `invalid_prompt` with the template's own words where it refuses the chat,
   * `invalid_chat_template` where it fails.
   */
  render(messages: readonly ChatMessage[], tools: readonly Tool[] = []): string {
    try {
      if (this.#knowsTools) return this.#rendered(messages, tools);
      if (tools.length === 0) return this.#rendered(callsInText(messages), []);
      try {
        return this.#rendered(toolsInText(messages, tools, 'system'), []);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        // A template that takes no system message.
        return this.#rendered(toolsInText(messages, tools, 'user'), []);
      }
    } catch (error) {
      if (error instanceof Refusal) {
        throw new EngineError('invalid_prompt', `The chat template refuses these messages: ${error.message}`);
      }
      throw failure('failed', error);
    }
  }

  #rendered(messages: readonly ChatMessage[], tools: readonly Tool[]): string {
    const functions = tools.map((tool) => ({ type: 'function', function: functionOf(tool) }));
    const variables = {
      ...this.#variables,
      ...(tools.length === 0 ? {} : { tools: functions }),
      messages: messages.map((message) => this.#variablesOf(message)),
    };
    const size = () => JSON.stringify([messages, tools]).length;
    if (endless.has(this.#digest, size)) throw new TimeLimitReached(LONGEST_MILLISECONDS);
    try {
      return withTimeLimit(LONGEST_MILLISECONDS, () => this.#template.render(variables));
    } catch (error) {
      if (error instanceof TimeLimitReached) endless.add(this.#digest, size());
      throw error;
    }
  }

  #variablesOf({ role, toolCalls, toolCallId, ...rest }: ChatMessage): object {
    const id = (given: string) => (this.#shortIds ? shortId(given) : given);
    return {
      role: role === 'developer' && !this.#knowsDeveloper ? 'system' : role,
      ...rest,
      ...(toolCallId === undefined ? {} : { tool_call_id: id(toolCallId) }),
      ...(toolCalls === undefined
        ? {}
        : {
            tool_calls: toolCalls.map((call) => ({
              id: id(call.id),
              type: 'function',
              function: { name: call.name, arguments: readArguments(call.arguments) },
            })),
          }),
    };
  }
}

/** A tool as templates print it: in the order of OpenAI's API, which models have learned. */
function functionOf({ name, description, parameters }: Tool): object {
  return {
    name,
    ...(description === null ? {} : { description }),
    parameters: parameters ?? { type: 'object', properties: {} },
  };
}

/** Templates print arguments themselves, so they get them read; what is no JSON stays text. */
function readArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Nine letters and digits, the same for the same id. */
function shortId(id: string): string {
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : hash('sha256', id, 'hex').slice(0, 9);
}

/** As Jinja's own, which would fill the memory with whatever is asked for. */
function range(start: number, stop?: number, step?: number): number[] {
  const [from, to, by] = stop === undefined ? [0, start, 1] : [start, stop, step ?? 1];
  const length = Math.max(0, Math.ceil((to - from) / by));
  if (!(length <= LONGEST_RANGE)) throw new Error(`range() of more than ${LONGEST_RANGE} numbers`);
  return Array.from({ length }, (_, index) => from + index * by);
}

function refuse(message: unknown): never {
  throw new Refusal(String(message));
}

function failure(what: string, cause: unknown): EngineError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new EngineError('invalid_chat_template', `The model's chat template ${what}: ${reason}`, { cause });
}
