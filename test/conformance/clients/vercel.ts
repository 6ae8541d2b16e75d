import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embedMany,
  generateText,
  jsonSchema,
  Output,
  RetryError,
  streamText,
  type ToolSet,
  tool,
} from 'ai';
import { type ChatAsk, type ClientLibrary, Failure, WEATHER } from '../client.ts';
import { PLACE } from '../place.ts';

export const vercel: ClientLibrary = {
  name: 'Vercel’s AI SDK',
  lacks: {
    n: 'it asks for one answer',
    logprobs: 'its provider for compatible servers asks for none',
    models: 'it lists no models',
    responses: 'its provider for compatible servers asks for chats',
    'x-should-retry': 'it tries every 429 again',
    batches: 'it has no files',
  },
  missing: null,
  open({ baseUrl, apiKey, retries }) {
    const provider = createOpenAICompatible({
      name: 'polylora',
      baseURL: baseUrl,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    });
    const settings = ({ model, prompt, temperature, maxTokens, seed, stop }: ChatAsk) => ({
      model: provider(model),
      prompt,
      maxRetries: retries,
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
      ...(seed === undefined ? {} : { seed }),
      ...(stop === undefined ? {} : { stopSequences: [...stop] }),
    });
    return {
      async chat(ask) {
        const { text, finishReason, usage } = await generateText(settings(ask)).catch(failed);
        return {
          texts: [text],
          finishReasons: [finishReason],
          usage: { prompt: usage.inputTokens ?? 0, completion: usage.outputTokens ?? 0 },
          logprobs: null,
        };
      },
      async stream(ask, leaveAfter = Number.POSITIVE_INFINITY) {
        const left = new AbortController();
        let thrown: unknown = null;
        const result = streamText({
          ...settings(ask),
          abortSignal: left.signal,
          onError: ({ error }) => {
            thrown ??= error;
          },
        });
        const pieces: string[] = [];
        for await (const piece of result.textStream) {
          pieces.push(piece);
          if (pieces.length >= leaveAfter) break;
        }
        if (pieces.length >= leaveAfter) {
          left.abort();
          return { pieces, finishReason: null, usage: null };
        }
        if (thrown !== null) failed(thrown, pieces);
        const [finishReason, usage] = await Promise.all([result.finishReason, result.usage]);
        return {
          pieces,
          finishReason,
          usage: { prompt: usage.inputTokens ?? 0, completion: usage.outputTokens ?? 0 },
        };
      },
      models: () => Promise.reject(new Error('the AI SDK lists no models')),
      async embed(model, texts) {
        const { embeddings, usage } = await embedMany({
          model: provider.textEmbeddingModel(model),
          values: [...texts],
          maxRetries: retries,
        }).catch(failed);
        return { vectors: embeddings, promptTokens: usage.tokens };
      },
      respond: () => Promise.reject(new Error('the provider asks for chats')),
      async call(model, prompt, stream) {
        // Its types do not expect `exactOptionalPropertyTypes`.
        const tools = {
          [WEATHER.name]: tool({
            description: WEATHER.description,
            inputSchema: jsonSchema<Record<string, unknown>>(WEATHER.parameters as never),
          }),
        } as unknown as ToolSet;
        const asked = {
          ...settings({ model, prompt, temperature: 0, maxTokens: 120 }),
          tools,
          toolChoice: 'required' as const,
        };
        const calls = stream
          ? await streamText(asked).toolCalls
          : (await generateText(asked).catch(failed)).toolCalls;
        return calls.map(({ toolName, input }) => ({
          name: toolName,
          arguments: input as Record<string, unknown>,
        }));
      },
      async parse(model, prompt) {
        const asked = {
          ...settings({ model, prompt, temperature: 0, maxTokens: 200 }),
          output: Output.object({ schema: PLACE }),
        };
        return (await generateText(asked).catch(failed)).output;
      },
      batch: () => Promise.reject(new Error('the AI SDK has no files')),
      close: async () => {},
    };
  },
};

function failed(error: unknown, pieces: readonly string[] = []): never {
  const cause = RetryError.isInstance(error) ? error.lastError : error;
  if (!(error instanceof Error)) {
    // Of a stream: its `error` as it came.
    const { code, message } = error as { readonly code?: string; readonly message: string };
    throw new Failure(null, code ?? null, message, pieces);
  }
  if (!APICallError.isInstance(cause)) throw error;
  const { error: body } = JSON.parse(cause.responseBody ?? '{}') as { error?: { code?: string } };
  throw new Failure(cause.statusCode ?? null, body?.code ?? null, cause.message);
}
