import type { ChatMessage } from '@polylora/engine';
import type { BackendModel } from '../backends/backend.ts';
import { ApiError } from '../errors.ts';
import { type JsonObject, quoted } from '../openai/fields.ts';
import { newId } from '../openai/ids.ts';
import { now, type ResponseHead, responseEvents, wholeResponse } from '../openai/responses-answer.ts';
import { messagesOf } from '../openai/responses-items.ts';
import { type ResponsesRequest, readResponsesRequest } from '../openai/responses-request.ts';
import { forChoice } from '../openai/sampling.ts';
import { readScheduling, type SchedulingOptions, SERVED } from '../openai/scheduling.ts';
import type { ResponseStore, StoredResponse, StoredTurn } from '../responses/response-store.ts';
import type { Job } from './job.ts';

/**
 * The body of a response. It is stored before its client has the whole of it.
 * @throws ApiError for the first field that is wrong, or where what it goes on from is not there
 */
export async function responsesJob(
  json: JsonObject,
  model: BackendModel,
  options: SchedulingOptions & { readonly store: ResponseStore },
): Promise<Job> {
  const request = readResponsesRequest(json, model.vocabSize);
  const { body, input, tools, sampling, userHash, account } = request;
  const scheduling = readScheduling(json, options);
  const { store, tenant } = options;
  const previous = body.previous_response_id ?? null;
  const earlier = previous === null ? [] : await conversation(store, tenant, previous);
  const head = headOf(request, model, SERVED[scheduling.priority]);
  const keep = async (response: StoredResponse['body']): Promise<void> => {
    if (head.store) await store.add(tenant, { body: response, input });
  };
  const items = [...earlier.flatMap(({ input, output }) => [...input, ...output]), ...input];
  return {
    requests: [
      {
        id: head.id,
        prompt: {
          kind: 'chat',
          messages: [...instructionsOf(body.instructions), ...messagesOf(items)],
          ...(tools === null ? {} : { tools }),
        },
        sampling: forChoice(sampling, 0),
        scheduling,
        echo: false,
        account,
      },
    ],
    choices: 1,
    promptParam: 'input',
    userHash,
    whole: async (events) => {
      const response = wholeResponse(events, head);
      await keep(response);
      return response;
    },
    chunks: body.stream ? (events) => responseEvents(events, head, keep) : null,
    events: 'named',
  };
}

async function conversation(
  store: ResponseStore,
  tenant: string,
  id: string,
): Promise<readonly StoredTurn[]> {
  const found = await store.conversation(tenant, id);
  if (found !== null) return found;
  const message = `Previous response with id '${quoted(id)}' not found, or an earlier one of its conversation.`;
  throw new ApiError('previous_response_not_found', message, 'previous_response_id');
}

function headOf(
  { body, sampling }: ResponsesRequest,
  model: BackendModel,
  tier: ResponseHead['service_tier'],
) {
  const { prompt_cache_key, safety_identifier, user } = body;
  return {
    id: newId('resp_'),
    object: 'response',
    created_at: now(),
    background: false,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: body.metadata ?? {},
    model: model.id,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: null, summary: null },
    service_tier: tier,
    store: body.store ?? true,
    temperature: sampling.temperature,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
      type,
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? false,
    })),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    ...given({ prompt_cache_key, safety_identifier, user }),
  } satisfies ResponseHead;
}

/** Those that are there. */
function given<Name extends string>(
  fields: Readonly<Record<Name, string | null | undefined>>,
): Partial<Record<Name, string>> {
  const found = Object.entries(fields).filter(([, value]) => value != null);
  return Object.fromEntries(found) as Partial<Record<Name, string>>;
}

function instructionsOf(text: string | null | undefined): ChatMessage[] {
  return text == null ? [] : [{ role: 'system', content: text }];
}
