import OpenAI from 'openai';
import { type ChatAsk, type ClientLibrary, Failure } from '../client.ts';

export const openaiNode: ClientLibrary = {
  name: 'OpenAI’s SDK for Node',
  lacks: {},
  missing: null,
  open({ baseUrl, apiKey, retries }) {
    const client = new OpenAI({ baseURL: baseUrl, apiKey, maxRetries: retries });
    return {
      async chat(ask) {
        const { choices, usage } = await client.chat.completions.create(bodyOf(ask)).catch(failed);
        const logprobs = choices[0]?.logprobs?.content;
        return {
          texts: choices.map(({ message }) => message.content ?? ''),
          finishReasons: choices.map(({ finish_reason: reason }) => reason),
          usage:
            usage === undefined ? null : { prompt: usage.prompt_tokens, completion: usage.completion_tokens },
          logprobs: logprobs?.map(({ logprob }) => logprob) ?? null,
        };
      },
      async stream(ask, leaveAfter = Number.POSITIVE_INFINITY) {
        const asked = { ...bodyOf(ask), stream: true, stream_options: { include_usage: true } } as const;
        const pieces: string[] = [];
        let [finishReason, usage]: [string | null, OpenAI.CompletionUsage | null] = [null, null];
        const stream = await client.chat.completions.create(asked).catch(failed);
        for await (const chunk of stream) {
          const [choice] = chunk.choices;
          if (choice?.delta.content) pieces.push(choice.delta.content);
          finishReason = choice?.finish_reason ?? finishReason;
          usage = chunk.usage ?? usage;
          if (pieces.length >= leaveAfter) break;
        }
        return {
          pieces,
          finishReason,
          usage: usage && { prompt: usage.prompt_tokens, completion: usage.completion_tokens },
        };
      },
      async models() {
        const list = await client.models.list().catch(failed);
        return list.data.map(({ id }) => id);
      },
      close: async () => {},
    };
  },
};

function bodyOf({ model, prompt, temperature, maxTokens, seed, stop, n, logprobs }: ChatAsk) {
  return {
    model,
    messages: [{ role: 'user' as const, content: prompt }],
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { max_completion_tokens: maxTokens }),
    ...(seed === undefined ? {} : { seed }),
    ...(stop === undefined ? {} : { stop: [...stop] }),
    ...(n === undefined ? {} : { n }),
    ...(logprobs === undefined ? {} : { logprobs: true, top_logprobs: logprobs }),
  };
}

function failed(error: unknown): never {
  if (error instanceof OpenAI.APIError)
    throw new Failure(error.status ?? null, error.code ?? null, error.message);
  throw error;
}
