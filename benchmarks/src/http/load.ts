import { type StreamedCompletion, streamCompletion } from './completion-stream.ts';
import { randomPrompt } from './token-prompt.ts';

/** How long a prompt and its answer are, in tokens. */
export interface Workload {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** Clients that each send one streamed request after the other, all clients at once. */
export interface Load extends Workload {
  readonly clients: number;
  readonly requestsPerClient: number;
}

/** What one server is asked for, beside what all servers are asked for alike. */
export interface Target {
  readonly url: string;
  /** Fields of a client's so-manieth request, such as the model's or the adapter's name. */
  fields(client: number, request: number): Readonly<Record<string, unknown>>;
}

/**
 * Puts a load on a server: greedy answers of exactly the workload's length to prompts of exactly its length.
 * Prompts are the same for the same seed, which is to differ between loads.
 *
 * @returns what the clients saw, in no particular order
 * @throws Error when a server refuses, or counts another number of tokens than it was asked for.
 */
export async function runLoad(target: Target, load: Load, seed: number): Promise<StreamedCompletion[]> {
  const completions = await Promise.all(
    Array.from({ length: load.clients }, (_, client) => runClient(target, load, client, seed)),
  );
  return completions.flat();
}

async function runClient(
  target: Target,
  load: Load,
  client: number,
  seed: number,
): Promise<StreamedCompletion[]> {
  const done: StreamedCompletion[] = [];
  for (let request = 0; request < load.requestsPerClient; request++) {
    const promptSeed = (seed * load.requestsPerClient + request) * load.clients + client;
    done.push(await runRequest(target.url, load, promptSeed, target.fields(client, request)));
  }
  return done;
}

async function runRequest(
  url: string,
  { promptTokens, newTokens }: Workload,
  promptSeed: number,
  fields: Readonly<Record<string, unknown>>,
): Promise<StreamedCompletion> {
  const done = await streamCompletion(url, {
    prompt: randomPrompt(promptTokens, promptSeed),
    max_tokens: newTokens,
    ignore_eos: true,
    temperature: 0,
    ...fields,
  });
  if (done.promptTokens !== promptTokens || done.completionTokens !== newTokens) {
    throw new Error(
      `${url} counted ${done.promptTokens} prompt tokens and ${done.completionTokens} new ones ` +
        `where ${promptTokens} and ${newTokens} were asked for`,
    );
  }
  return done;
}
