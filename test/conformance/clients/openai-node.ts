import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { batchInput, batchTexts, type ChatAsk, type ClientLibrary, Failure, WEATHER } from '../client.ts';
import { PLACE } from '../place.ts';

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
        try {
          for await (const chunk of stream) {
            const [choice] = chunk.choices;
            if (choice?.delta.content) pieces.push(choice.delta.content);
            finishReason = choice?.finish_reason ?? finishReason;
            usage = chunk.usage ?? usage;
            if (pieces.length >= leaveAfter) break;
          }
        } catch (error) {
          failed(error, pieces);
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
      async embed(model, texts) {
        const { data, usage } = await client.embeddings.create({ model, input: [...texts] }).catch(failed);
        return { vectors: data.map(({ embedding }) => embedding), promptTokens: usage.prompt_tokens };
      },
      async respond({ model, input, previous, stream = false }) {
        const asked = {
          ...{ model, input, temperature: 0, max_output_tokens: 40 },
          ...(previous === undefined ? {} : { previous_response_id: previous }),
        };
        if (!stream) {
          const { id, output_text: text } = await client.responses.create(asked).catch(failed);
          return { id, text, pieces: [] };
        }
        const pieces: string[] = [];
        let [id, text]: [string | null, string] = [null, ''];
        for await (const event of await client.responses.create({ ...asked, stream: true }).catch(failed)) {
          if (event.type === 'response.output_text.delta') pieces.push(event.delta);
          if (event.type === 'response.output_text.done') text = event.text;
          if (event.type === 'response.completed') id = event.response.id;
        }
        return { id, text, pieces };
      },
      async call(model, prompt, stream) {
        const asked = {
          model,
          messages: [{ role: 'user' as const, content: prompt }],
          tools: [{ type: 'function' as const, function: { ...WEATHER, strict: true } }],
          tool_choice: 'required' as const,
          temperature: 0,
          max_completion_tokens: 120,
        };
        const made = stream
          ? await client.chat.completions.stream(asked).finalChatCompletion()
          : await client.chat.completions.create(asked).catch(failed);
        return (made.choices[0]?.message.tool_calls ?? []).flatMap((call) =>
          call.type === 'function'
            ? [{ name: call.function.name, arguments: JSON.parse(call.function.arguments) }]
            : [],
        );
      },
      async parse(model, prompt) {
        const answer = await client.chat.completions
          .parse({
            model,
            messages: [{ role: 'user', content: prompt }],
            response_format: zodResponseFormat(PLACE, 'place'),
            temperature: 0,
            max_completion_tokens: 200,
          })
          .catch(failed);
        return answer.choices[0]?.message.parsed ?? {};
      },
      async batch(model, prompts) {
        const upload = await toFile(Buffer.from(batchInput(model, prompts)), 'prompts.jsonl');
        const file = await client.files.create({ file: upload, purpose: 'batch' }).catch(failed);
        let batch = await client.batches
          .create({
            ...{ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' },
          })
          .catch(failed);
        while (!ENDED.has(batch.status)) {
          await sleep(100);
          batch = await client.batches.retrieve(batch.id).catch(failed);
        }
        const output = await client.files.content(batch.output_file_id ?? '').catch(failed);
        const texts = batchTexts(await output.text());
        await client.files.delete(file.id).catch(failed);
        const isRemoved = await client.files.retrieve(file.id).then(
          () => false,
          (error: unknown) => error instanceof OpenAI.NotFoundError,
        );
        const {
          total,
          completed,
          failed: unanswered,
        } = batch.request_counts ?? { total: 0, completed: 0, failed: 0 };
        return { status: batch.status, counts: { total, completed, failed: unanswered }, texts, isRemoved };
      },
      close: async () => {},
    };
  },
};

const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'expired', 'cancelled']);

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

function failed(error: unknown, pieces: readonly string[] = []): never {
  if (error instanceof OpenAI.APIError)
    throw new Failure(error.status ?? null, error.code ?? null, error.message, pieces);
  throw error;
}
