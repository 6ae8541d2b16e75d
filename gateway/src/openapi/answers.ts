/** The shapes of answers, for the API's document and for tests: answers themselves are not looked at as they are sent. */
import { z } from 'zod';

const time = z.int().meta({ description: 'Unix time in seconds.' });
const stopReason = z.union([z.string(), z.int()]).nullable().meta({
  description: 'The stop string or token that ended the answer (as vLLM tells).',
});
const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'function_call']);

export const errorAnswer = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z
      .union([z.string(), z.int()])
      .nullable()
      .meta({ description: 'Stable; docs/errors.md lists them.' }),
  }),
});

const usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});

/** OpenAI's, and null where a stream has its usage in its last chunk. */
const head = {
  id: z.string(),
  created: time,
  model: z.string(),
  system_fingerprint: z.string().meta({ description: 'The same for the same weights.' }),
  service_tier: z.enum(['default', 'priority', 'flex']).optional(),
};

const tokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });
const chatLogprobs = z.object({
  content: z.array(z.object({ ...tokenLogprob.shape, top_logprobs: z.array(tokenLogprob) })),
  refusal: z.null(),
});

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const chatCompletionAnswer = z.object({
  ...head,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.null(),
        tool_calls: z.array(toolCall).optional(),
      }),
      logprobs: chatLogprobs.nullable(),
      finish_reason: finishReason,
      stop_reason: stopReason,
    }),
  ),
  usage,
});

export const chatCompletionChunk = z.object({
  ...head,
  object: z.literal('chat.completion.chunk'),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({
        role: z.literal('assistant').optional(),
        content: z.string().nullish(),
        refusal: z.null().optional(),
        tool_calls: z
          .array(
            z.object({
              index: z.int(),
              id: z.string().optional(),
              type: z.literal('function').optional(),
              function: z
                .object({ name: z.string().optional(), arguments: z.string().optional() })
                .optional(),
            }),
          )
          .optional(),
      }),
      logprobs: chatLogprobs.nullable(),
      finish_reason: finishReason.nullable(),
      stop_reason: stopReason.optional(),
    }),
  ),
  usage: usage.nullish(),
});

const legacyLogprobs = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  text_offset: z.array(z.int()),
});

export const completionAnswer = z.object({
  ...head,
  object: z.literal('text_completion'),
  choices: z.array(
    z.object({
      index: z.int(),
      text: z.string(),
      logprobs: legacyLogprobs.nullable(),
      finish_reason: finishReason
        .nullable()
        .meta({ description: 'null in the pieces of a stream before the last.' }),
      stop_reason: stopReason,
    }),
  ),
  usage: usage.nullish(),
});

export const embeddingsAnswer = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: z.int(),
      embedding: z
        .union([z.array(z.number()), z.string()])
        .meta({ description: 'A string where it is base64.' }),
    }),
  ),
  model: z.string(),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});

export const modelAnswer = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: time,
  owned_by: z.string(),
  root: z.string(),
  parent: z.string().nullable().meta({ description: "An adapter's base model." }),
  max_model_len: z.int().nullable(),
  task: z.enum(['generate', 'embed']),
});

export const modelsAnswer = z.object({ object: z.literal('list'), data: z.array(modelAnswer) });

const textPart = z.object({
  type: z.enum(['input_text', 'output_text']),
  text: z.string(),
  annotations: z.array(z.never()).optional(),
  logprobs: z.array(z.object({ ...tokenLogprob.shape, top_logprobs: z.array(tokenLogprob) })).optional(),
});

const itemHead = { id: z.string(), status: z.enum(['in_progress', 'completed', 'incomplete']) };
const messageItem = z.object({
  ...itemHead,
  type: z.literal('message'),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: z.array(textPart),
});
const callItem = z.object({
  ...itemHead,
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});
const callOutputItem = z.object({
  ...itemHead,
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: z.string(),
});
const outputItem = z.discriminatedUnion('type', [messageItem, callItem]);

export const responseAnswer = z.object({
  id: z.string(),
  object: z.literal('response'),
  created_at: time,
  completed_at: time.nullable(),
  status: z.enum(['in_progress', 'completed', 'incomplete', 'failed']),
  background: z.literal(false),
  error: z.null(),
  incomplete_details: z.object({ reason: z.literal('max_output_tokens') }).nullable(),
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.int().nullable(),
  metadata: z.record(z.string(), z.string()),
  model: z.string(),
  output: z.array(outputItem),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  prompt_cache_key: z.string().optional(),
  reasoning: z.object({ effort: z.null(), summary: z.null() }),
  safety_identifier: z.string().optional(),
  service_tier: z.enum(['default', 'priority', 'flex']),
  store: z.boolean(),
  temperature: z.number(),
  text: z.object({ format: z.object({ type: z.literal('text') }) }),
  tool_choice: z.union([
    z.enum(['auto', 'none', 'required']),
    z.object({ type: z.literal('function'), name: z.string() }),
  ]),
  tools: z.array(
    z.object({
      type: z.literal('function'),
      name: z.string(),
      description: z.string().nullable(),
      parameters: z.record(z.string(), z.unknown()).nullable(),
      strict: z.boolean(),
    }),
  ),
  top_logprobs: z.int(),
  top_p: z.number(),
  truncation: z.literal('disabled'),
  user: z.string().optional(),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .optional(),
});

const sequenced = { sequence_number: z.int() };
const inItem = { ...sequenced, item_id: z.string(), output_index: z.int() };
const inPart = { ...inItem, content_index: z.int() };

export const responseEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.enum(['response.created', 'response.in_progress', 'response.completed', 'response.incomplete']),
    ...sequenced,
    response: responseAnswer,
  }),
  z.object({
    type: z.enum(['response.output_item.added', 'response.output_item.done']),
    ...sequenced,
    output_index: z.int(),
    item: outputItem,
  }),
  z.object({
    type: z.enum(['response.content_part.added', 'response.content_part.done']),
    ...inPart,
    part: textPart,
  }),
  z.object({
    type: z.literal('response.output_text.delta'),
    ...inPart,
    delta: z.string(),
    logprobs: textPart.shape.logprobs.unwrap(),
  }),
  z.object({
    type: z.literal('response.output_text.done'),
    ...inPart,
    text: z.string(),
    logprobs: textPart.shape.logprobs.unwrap(),
  }),
  z.object({
    type: z.literal('response.function_call_arguments.delta'),
    ...inItem,
    delta: z.string(),
  }),
  z.object({
    type: z.literal('response.function_call_arguments.done'),
    ...inItem,
    name: z.string(),
    arguments: z.string(),
  }),
  z.object({
    type: z.literal('error'),
    ...sequenced,
    message: z.string(),
    code: z.string().nullable(),
    param: z.string().nullable(),
    error: errorAnswer.shape.error,
  }),
]);

/** One page of a list. */
function pageOf<S extends z.ZodType>(item: S) {
  return z.object({
    object: z.literal('list'),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  });
}

function deletedAnswer(object: string) {
  return z.object({ id: z.string(), object: z.literal(object), deleted: z.literal(true) });
}

export const inputItemsAnswer = pageOf(z.discriminatedUnion('type', [messageItem, callItem, callOutputItem]));
export const responseDeletedAnswer = deletedAnswer('response');

export const fileAnswer = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: time,
  filename: z.string(),
  purpose: z.enum(['batch', 'batch_output']),
  status: z.literal('processed'),
});

export const filesAnswer = pageOf(fileAnswer);
export const fileDeletedAnswer = deletedAnswer('file');

export const batchAnswer = z.object({
  id: z.string(),
  object: z.literal('batch'),
  endpoint: z.string(),
  errors: z
    .object({
      object: z.literal('list'),
      data: z.array(
        z.object({
          code: z.string(),
          message: z.string(),
          param: z.string().nullable(),
          line: z.int().nullable(),
        }),
      ),
    })
    .nullable(),
  input_file_id: z.string(),
  completion_window: z.literal('24h'),
  status: z.enum([
    'validating',
    'in_progress',
    'finalizing',
    'completed',
    'failed',
    'expired',
    'cancelling',
    'cancelled',
  ]),
  output_file_id: z.string().nullable(),
  error_file_id: z.string().nullable(),
  created_at: time.nullable(),
  in_progress_at: time.nullable(),
  expires_at: time.nullable(),
  finalizing_at: time.nullable(),
  completed_at: time.nullable(),
  failed_at: time.nullable(),
  expired_at: time.nullable(),
  cancelling_at: time.nullable(),
  cancelled_at: time.nullable(),
  request_counts: z.object({ total: z.int(), completed: z.int(), failed: z.int() }),
  usage: z.object({}).loose().nullish(),
  metadata: z.record(z.string(), z.string()).nullable(),
});

export const batchesAnswer = pageOf(batchAnswer);

export const tokenizeAnswer = z.object({
  count: z.int(),
  max_model_len: z.int(),
  tokens: z.array(z.int()),
  token_strs: z.array(z.string()).nullable(),
});

export const detokenizeAnswer = z.object({ prompt: z.string() });

export const loraAdaptersAnswer = z.array(
  z.object({
    id: z.int(),
    path: z.string(),
    scale: z.number(),
    task_name: z.string(),
    prompt_prefix: z.string(),
  }),
);

export const statusAnswer = z.object({ status: z.string() });
export const readinessAnswer = statusAnswer.extend({
  upstream: z
    .literal('away')
    .optional()
    .describe('What is waited for, where another server computes the answers'),
});
