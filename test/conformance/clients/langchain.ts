import { type AIMessageChunk, HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { type ChatAsk, type ClientLibrary, Failure, WEATHER } from '../client.ts';
import { PLACE } from '../place.ts';

export const langchain: ClientLibrary = {
  name: 'LangChain’s ChatOpenAI',
  lacks: {
    models: 'it lists no models',
    embeddings: 'ChatOpenAI makes none',
    'retry-after': 'it waits by a clock of its own',
    batches: 'it has no files',
  },
  missing: null,
  open({ baseUrl, apiKey, retries }) {
    const model = (ask: ChatAsk) =>
      new ChatOpenAI({
        model: ask.model,
        apiKey,
        configuration: { baseURL: baseUrl },
        maxRetries: retries,
        streamUsage: true,
        ...(ask.temperature === undefined ? {} : { temperature: ask.temperature }),
        ...(ask.maxTokens === undefined ? {} : { maxTokens: ask.maxTokens }),
        ...(ask.n === undefined ? {} : { n: ask.n }),
        ...(ask.logprobs === undefined ? {} : { logprobs: true, topLogprobs: ask.logprobs }),
      });
    const optionsOf = ({ seed, stop }: ChatAsk) => ({
      ...(seed === undefined ? {} : { seed }),
      ...(stop === undefined ? {} : { stop: [...stop] }),
    });
    return {
      async chat(ask) {
        const { generations, llmOutput } = await model(ask)
          .generate([[new HumanMessage(ask.prompt)]], optionsOf(ask))
          .catch(failed);
        const [answers = []] = generations;
        const metadata = answers.map(({ generationInfo }) => generationInfo ?? {});
        const { tokenUsage } = (llmOutput ?? {}) as {
          tokenUsage?: { promptTokens: number; completionTokens: number };
        };
        const content = (metadata[0]?.logprobs as { content?: { logprob: number }[] } | null)?.content;
        return {
          texts: answers.map(({ text }) => text),
          finishReasons: metadata.map(({ finish_reason: reason }) => String(reason)),
          usage: tokenUsage
            ? { prompt: tokenUsage.promptTokens, completion: tokenUsage.completionTokens }
            : null,
          logprobs: content?.map(({ logprob }) => logprob) ?? null,
        };
      },
      async stream(ask, leaveAfter = Number.POSITIVE_INFINITY) {
        const pieces: string[] = [];
        let finishReason: string | null = null;
        let usage: { input_tokens: number; output_tokens: number } | undefined;
        const stream = await model(ask)
          .stream([new HumanMessage(ask.prompt)], optionsOf(ask))
          .catch(failed);
        try {
          for await (const chunk of stream) {
            if (chunk.text !== '') pieces.push(chunk.text);
            const { finish_reason: reason } = chunk.response_metadata as { finish_reason?: string };
            finishReason = reason ?? finishReason;
            usage = chunk.usage_metadata ?? usage;
            if (pieces.length >= leaveAfter) break;
          }
        } catch (error) {
          failed(error, pieces);
        }
        return {
          pieces,
          finishReason,
          usage: usage ? { prompt: usage.input_tokens, completion: usage.output_tokens } : null,
        };
      },
      models: () => Promise.reject(new Error('LangChain lists no models')),
      embed: () => Promise.reject(new Error('ChatOpenAI makes no vectors')),
      async respond({ model, input, previous, stream = false }) {
        const responses = new ChatOpenAI({
          ...{ model, apiKey, configuration: { baseURL: baseUrl }, maxRetries: retries },
          ...{ useResponsesApi: true, temperature: 0, maxTokens: 40 },
        });
        const options = previous === undefined ? {} : { previous_response_id: previous };
        if (!stream) {
          const answer = await responses.invoke([new HumanMessage(input)], options).catch(failed);
          return { id: idOf(answer.response_metadata), text: answer.text, pieces: [] };
        }
        const pieces: string[] = [];
        let id: string | null = null;
        const chunks = await responses.stream([new HumanMessage(input)], options).catch(failed);
        for await (const chunk of chunks) {
          if (chunk.text !== '') pieces.push(chunk.text);
          id = idOf(chunk.response_metadata) ?? id;
        }
        return { id, text: pieces.join(''), pieces };
      },
      async call(name, prompt, stream) {
        const bound = model({ model: name, prompt, temperature: 0, maxTokens: 120 }).bindTools(
          [{ type: 'function', function: { ...WEATHER, strict: true } }],
          { tool_choice: 'required' },
        );
        if (!stream) {
          const { tool_calls: calls = [] } = await bound.invoke([new HumanMessage(prompt)]).catch(failed);
          return calls.map(({ name: called, args }) => ({ name: called, arguments: args }));
        }
        let whole: AIMessageChunk | null = null;
        for await (const chunk of await bound.stream([new HumanMessage(prompt)]).catch(failed)) {
          whole = whole === null ? chunk : whole.concat(chunk);
        }
        return (whole?.tool_calls ?? []).map(({ name: called, args }) => ({ name: called, arguments: args }));
      },
      async parse(name, prompt) {
        const asked = model({ model: name, prompt, temperature: 0, maxTokens: 200 });
        return asked
          .withStructuredOutput(PLACE, { method: 'jsonSchema', name: 'place' })
          .invoke([new HumanMessage(prompt)])
          .catch(failed);
      },
      batch: () => Promise.reject(new Error('LangChain has no files')),
      close: async () => {},
    };
  },
};

function idOf(metadata: Record<string, unknown>): string | null {
  return typeof metadata.id === 'string' ? metadata.id : null;
}

function failed(error: unknown, pieces: readonly string[] = []): never {
  const { name, status, code, message } = error as {
    name: string;
    status?: number;
    code?: string;
    message: string;
  };
  // Of this one it keeps no more than the words.
  if (name === 'InsufficientQuotaError')
    throw new Failure(Number.parseInt(message, 10), 'insufficient_quota', message);
  if (status === undefined && code === undefined) throw error;
  throw new Failure(status ?? null, code ?? null, message, pieces);
}
