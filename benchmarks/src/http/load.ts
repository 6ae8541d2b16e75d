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
  /** Fields of the request by the client who sends it, such as the model's or the adapter's name. */
  fields(client: number): Readonly<Record<string, unknown>>;
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
    done.push(await runRequest(target, load, client, promptSeed));
  }
  return done;
}

async function runRequest(target: Target, workload: Workload, client: number, promptSeed: number) {
  const { promptTokens, newTokens } = workload;
  const done = await streamCompletion(target.url, {
    prompt: randomPrompt(promptTokens, promptSeed),
    max_tokens: newTokens,
    ignore_eos: true,
    temperature: 0,
    ...target.fields(client),
  });
  if (done.promptTokens !== promptTokens || done.completionTokens !== newTokens) {
    throw new Error(
      `${target.url} counted ${done.promptTokens} prompt tokens and ${done.completionTokens} new ones ` +
        `where ${promptTokens} and ${newTokens} were asked for`,
    );
  }
  return done;
}
