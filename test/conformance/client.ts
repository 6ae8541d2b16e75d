/** What every client is asked for, and what it gives back, in words that all of them share. */

export interface ChatAsk {
  readonly model: string;
  readonly prompt: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly n?: number;
  /** Also tell how likely the tokens were, and so many others. */
  readonly logprobs?: number;
}

export interface Usage {
  readonly prompt: number;
  readonly completion: number;
}

export interface ChatAnswer {
  readonly texts: readonly string[];
  readonly finishReasons: readonly string[];
  readonly usage: Usage | null;
  /** Of the first text's tokens. */
  readonly logprobs: readonly number[] | null;
}

export interface StreamedAnswer {
  readonly pieces: readonly string[];
  readonly finishReason: string | null;
  readonly usage: Usage | null;
}

export interface EmbeddedTexts {
  readonly vectors: readonly (readonly number[])[];
  readonly promptTokens: number;
}

/** What the Responses API answered. */
export interface ResponseAnswer {
  readonly id: string | null;
  readonly text: string;
  /** Pieces of the text, where it was streamed. */
  readonly pieces: readonly string[];
}

export interface ResponseAsk {
  readonly model: string;
  readonly input: string;
  /** The answer that it goes on from. */
  readonly previous?: string;
  readonly stream?: boolean;
}

/** What came of a batch. */
export interface BatchAnswer {
  readonly status: string;
  readonly counts: { readonly total: number; readonly completed: number; readonly failed: number };
  /** In the order of the prompts. */
  readonly texts: readonly string[];
  /** Whether the file is gone once it was removed. */
  readonly isRemoved: boolean;
}

/** A call that the model made. */
export interface MadeCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** A batch's file, as OpenAI writes it. */
export function batchInput(model: string, prompts: readonly string[]): string {
  const lines = prompts.map((content, index) => ({
    ...{ custom_id: String(index), method: 'POST', url: '/v1/chat/completions' },
    body: { model, messages: [{ role: 'user', content }], temperature: 0, max_completion_tokens: 40 },
  }));
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** The texts of a batch's output file, in the order of the prompts. */
export function batchTexts(output: string): string[] {
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { custom_id: string; response: { body: AnsweredChat } });
  return lines
    .sort((a, b) => Number(a.custom_id) - Number(b.custom_id))
    .map(({ response }) => response.body.choices[0]?.message.content ?? '');
}

interface AnsweredChat {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

/** The tool and the object that every library is asked for, in its own words. */
export const WEATHER = {
  name: 'get_weather',
  description: 'Tells the weather in a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Paris', 'Berlin'] } },
    required: ['city'],
    additionalProperties: false,
  },
} as const;

/** What a client threw. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly status: number | null;
  readonly code: string | null;
  /** Of a stream, what came before. */
  readonly pieces: readonly string[];

  constructor(status: number | null, code: string | null, message: string, pieces: readonly string[] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.pieces = pieces;
  }
}

export interface ClientOptions {
  /** With `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly retries: number;
}

/** A client library, unmodified. All throw a `Failure` where the library throws what the server said. */
export interface ConformanceClient {
  chat(ask: ChatAsk): Promise<ChatAnswer>;
  /** @param leaveAfter pieces after which nobody reads on: the rest is left to the server to notice */
  stream(ask: ChatAsk, leaveAfter?: number): Promise<StreamedAnswer>;
  models(): Promise<readonly string[]>;
  /** In the form that the library asks for by itself. */
  embed(model: string, texts: readonly string[]): Promise<EmbeddedTexts>;
  respond(ask: ResponseAsk): Promise<ResponseAnswer>;
  /** Has `WEATHER` called, in any case. */
  call(model: string, prompt: string, stream: boolean): Promise<readonly MadeCall[]>;
  /** `{ capital: string, river: 'Seine' | 'Spree' }`, read and checked by the library's own helper. */
  parse(model: string, prompt: string): Promise<Readonly<Record<string, unknown>>>;
  /** Uploads a file, has its prompts answered as a batch, reads what came of it, and removes the file. */
  batch(model: string, prompts: readonly string[]): Promise<BatchAnswer>;
  close(): Promise<void>;
}

/** What a library has no words for, so that its case cannot be asked of it. */
export type Lacks = Partial<
  Record<
    'n' | 'logprobs' | 'models' | 'embeddings' | 'responses' | 'retry-after' | 'x-should-retry' | 'batches',
    string
  >
>;

export interface ClientLibrary {
  readonly name: string;
  readonly lacks: Lacks;
  /** null, or why it cannot be run on this machine. */
  readonly missing: string | null;
  open(options: ClientOptions): ConformanceClient;
}
