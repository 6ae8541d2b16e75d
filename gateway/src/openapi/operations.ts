/** What the document tells of each route: what it takes and gives, by the schemas that read it or tests hold it to. */
import { z } from 'zod';
import { cacheFields } from '../cache/controls.ts';
import { batchBody } from '../openai/batch-request.ts';
import { chatFields } from '../openai/chat-request.ts';
import { completionFields } from '../openai/completion-request.ts';
import { embeddingFields } from '../openai/embedding-request.ts';
import { modelFields } from '../openai/model-request.ts';
import { responsesFields } from '../openai/responses-request.ts';
import { schedulingFields } from '../openai/scheduling.ts';
import { detokenizeBody, tokenizeChatBody, tokenizeTextBody } from '../openai/tokenize-request.ts';
import * as admin from './admin-shapes.ts';
import * as answers from './answers.ts';
import { CACHE_OPERATIONS } from './cache-operations.ts';
import { DASHBOARD_OPERATIONS } from './dashboard-operations.ts';
import { LIVE_OPERATIONS } from './live-operations.ts';
import type { Operation } from './operation.ts';
import { REQUEST_OPERATIONS } from './request-operations.ts';
import { TENANT_OPERATIONS } from './tenant-operations.ts';

const generated = { ...modelFields, ...schedulingFields, ...cacheFields };
const listQuery = z.object({
  after: z.string().optional().meta({ description: 'The id that the page begins after.' }),
  limit: z.int().min(1).optional(),
  order: z.enum(['asc', 'desc']).optional(),
});
const binary = z.string().meta({ format: 'binary' });

const client = (tag: string) => ({ tag, access: 'client' as const });
const chat = client('Chat');
const responses = client('Responses');
const batches = client('Files and batches');
const others = client("Other servers' ways");
const adapters = { tag: 'Adapters', access: 'administrator' as const };
const imports = { tag: 'Imports', access: 'operator' as const };
const health = { tag: 'Health', access: 'everybody' as const };

/** By method and path, as the router has them. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /v1/chat/completions': {
    ...chat,
    summary: 'Answers a conversation',
    request: { name: 'ChatCompletionRequest', schema: z.object({ ...generated, ...chatFields }) },
    answer: { name: 'ChatCompletion', schema: answers.chatCompletionAnswer },
    events: { name: 'ChatCompletionChunk', schema: answers.chatCompletionChunk },
  },
  'POST /v1/completions': {
    ...chat,
    summary: 'Goes on with a text',
    request: { name: 'CompletionRequest', schema: z.object({ ...generated, ...completionFields }) },
    answer: { name: 'Completion', schema: answers.completionAnswer },
    events: { name: 'Completion', schema: answers.completionAnswer },
  },
  'POST /v1/responses': {
    ...responses,
    summary: 'Answers, and keeps the answer to be gone on from',
    request: { name: 'ResponseRequest', schema: z.object({ ...generated, ...responsesFields }) },
    answer: { name: 'Response', schema: answers.responseAnswer },
    events: { name: 'ResponseEvent', schema: answers.responseEvent },
  },
  'GET /v1/responses/:id': {
    ...responses,
    summary: 'A stored response',
    answer: { name: 'Response', schema: answers.responseAnswer },
  },
  'DELETE /v1/responses/:id': {
    ...responses,
    summary: 'Deletes a stored response',
    answer: { schema: answers.responseDeletedAnswer },
  },
  'GET /v1/responses/:id/input_items': {
    ...responses,
    summary: 'What a stored response was asked',
    query: listQuery,
    answer: { schema: answers.inputItemsAnswer },
  },
  'POST /v1/responses/:id/cancel': {
    ...responses,
    summary: 'Cancels a response in the background, which there are none of: always refused',
  },
  'GET /v1/models': {
    ...client('Models'),
    summary: 'The base model and the adapters that the key may use',
    answer: { schema: answers.modelsAnswer },
  },
  'GET /v1/models/:id{.+}': {
    ...client('Models'),
    summary: 'One of them',
    answer: { name: 'Model', schema: answers.modelAnswer },
  },
  'POST /v1/embeddings': {
    ...client('Embeddings'),
    summary: 'Vectors of texts',
    request: { name: 'EmbeddingRequest', schema: z.object({ ...modelFields, ...embeddingFields }) },
    answer: { name: 'Embeddings', schema: answers.embeddingsAnswer },
  },
  'POST /v1/files': {
    ...batches,
    summary: 'Uploads a file for a batch',
    request: {
      type: 'multipart/form-data',
      schema: z.object({ purpose: z.literal('batch'), file: binary }),
    },
    answer: { name: 'File', schema: answers.fileAnswer },
  },
  'GET /v1/files': {
    ...batches,
    summary: "The tenant's files",
    query: listQuery.extend({ purpose: z.string().optional() }),
    answer: { schema: answers.filesAnswer },
  },
  'GET /v1/files/:id': {
    ...batches,
    summary: 'What is known of a file',
    answer: { name: 'File', schema: answers.fileAnswer },
  },
  'DELETE /v1/files/:id': {
    ...batches,
    summary: 'Deletes a file',
    answer: { schema: answers.fileDeletedAnswer },
  },
  'GET /v1/files/:id/content': {
    ...batches,
    summary: "A file's content",
    answer: { type: 'application/octet-stream', schema: binary },
  },
  'POST /v1/batches': {
    ...batches,
    summary: 'Runs the requests of a file when nothing else waits',
    request: { schema: batchBody },
    answer: { name: 'Batch', schema: answers.batchAnswer },
  },
  'GET /v1/batches': {
    ...batches,
    summary: "The tenant's batches",
    query: listQuery.omit({ order: true }),
    answer: { schema: answers.batchesAnswer },
  },
  'GET /v1/batches/:id': {
    ...batches,
    summary: 'How far a batch is',
    answer: { name: 'Batch', schema: answers.batchAnswer },
  },
  'POST /v1/batches/:id/cancel': {
    ...batches,
    summary: 'Ends a batch; what is answered by then is kept',
    answer: { name: 'Batch', schema: answers.batchAnswer },
  },
  'POST /tokenize': {
    ...others,
    summary: "vLLM's: the tokens of a text or of a chat",
    request: { schema: z.union([tokenizeTextBody, tokenizeChatBody]) },
    answer: { schema: answers.tokenizeAnswer },
  },
  'POST /detokenize': {
    ...others,
    summary: "vLLM's: the text of tokens",
    request: { schema: detokenizeBody },
    answer: { schema: answers.detokenizeAnswer },
  },
  'GET /lora-adapters': {
    ...others,
    summary: "llama-server's list of the adapters that the key may use",
    answer: { schema: answers.loraAdaptersAnswer },
  },
  'POST /lora-adapters': {
    ...others,
    summary: "llama-server's way to set scales for everybody: always refused",
  },
  'POST /v1/load_lora_adapter': {
    ...others,
    access: 'operator',
    summary: "vLLM's: loads an adapter from the server's disk, where `runtimeLoraRoot` is set",
    request: { schema: admin.loadLoraBody },
    answer: { type: 'text/plain', schema: z.string() },
  },
  'POST /v1/unload_lora_adapter': {
    ...others,
    access: 'operator',
    summary: "vLLM's: removes it again",
    request: { schema: admin.unloadLoraBody },
    answer: { type: 'text/plain', schema: z.string() },
  },
  'POST /admin/v1/adapters': {
    ...adapters,
    summary: 'Pushes an adapter',
    request: { type: 'multipart/form-data', schema: admin.pushForm },
    status: 201,
    answer: { name: 'Release', schema: admin.releaseAnswer },
  },
  'GET /admin/v1/adapters': {
    ...adapters,
    summary: 'Names, with what `latest` stands for',
    query: listQuery.omit({ order: true }),
    answer: { schema: admin.adaptersAnswer },
  },
  'GET /admin/v1/adapters/:name': {
    ...adapters,
    summary: "A name's tags, releases and grants",
    answer: { schema: admin.adapterAnswer },
  },
  'DELETE /admin/v1/adapters/:name': {
    ...adapters,
    summary: 'Removes a name, and the versions that no other name has',
    answer: { schema: admin.removedAnswer },
  },
  'GET /admin/v1/adapters/:name/export': {
    ...adapters,
    summary: "A version's files",
    query: z.object({ version: z.string().optional() }),
    answer: { type: 'application/x-tar', schema: binary },
  },
  'PUT /admin/v1/adapters/:name/tags/:tag': {
    ...adapters,
    summary: 'Moves a tag',
    request: { schema: admin.tagBody },
    answer: { schema: admin.taggedAnswer },
  },
  'DELETE /admin/v1/adapters/:name/tags/:tag': { ...adapters, summary: 'Takes a tag away' },
  'PUT /admin/v1/adapters/:name/grants': {
    ...adapters,
    summary: 'Lets a tenant or a key use an adapter',
    request: { schema: admin.grantBody },
  },
  'DELETE /admin/v1/adapters/:name/grants': {
    ...adapters,
    summary: 'Takes it back, from the next request on',
    request: { schema: admin.grantBody },
  },
  'PUT /admin/v1/adapters/:name/pins/:digest': { ...adapters, summary: 'Keeps a version' },
  'DELETE /admin/v1/adapters/:name/pins/:digest': { ...adapters, summary: 'Lets it be collected' },
  'POST /admin/v1/adapters/uploads': {
    ...adapters,
    summary: 'Begins an upload in parts, or finds where one broke off',
    request: { schema: admin.uploadBody },
    status: 201,
    answer: { name: 'Upload', schema: admin.uploadAnswer },
  },
  'GET /admin/v1/adapters/uploads': { ...adapters, summary: 'Uploads that are open' },
  'GET /admin/v1/adapters/uploads/:id': {
    ...adapters,
    summary: 'How far an upload is',
    answer: { name: 'Upload', schema: admin.uploadAnswer },
  },
  'PATCH /admin/v1/adapters/uploads/:id': {
    ...adapters,
    summary: 'The bytes from `upload-offset` on',
    request: { type: 'application/offset+octet-stream', schema: binary },
    status: 204,
  },
  'POST /admin/v1/adapters/uploads/:id/complete': {
    ...adapters,
    summary: 'Checks and pushes an upload',
    status: 201,
    answer: { name: 'Release', schema: admin.releaseAnswer },
  },
  'DELETE /admin/v1/adapters/uploads/:id': { ...adapters, summary: 'Abandons an upload' },
  'POST /admin/v1/adapters/imports': {
    ...imports,
    summary: 'Fetches an adapter from the hub or from S3',
    request: { schema: admin.importBody },
    status: 202,
    answer: { name: 'Import', schema: admin.importAnswer },
  },
  'GET /admin/v1/adapters/imports': {
    ...imports,
    summary: 'Imports',
    answer: { schema: admin.importsAnswer },
  },
  'GET /admin/v1/adapters/imports/:id': {
    ...imports,
    summary: 'How far an import is',
    answer: { name: 'Import', schema: admin.importAnswer },
  },
  'DELETE /admin/v1/adapters/imports/:id': {
    ...imports,
    summary: 'Cancels an import',
    answer: { name: 'Import', schema: admin.importAnswer },
  },
  'GET /admin/v1/sources/hub/token': {
    ...imports,
    summary: 'Whether the server has a token of the hub',
    answer: { schema: admin.hubTokenAnswer },
  },
  'PUT /admin/v1/sources/hub/token': {
    ...imports,
    summary: 'Gives it one',
    request: { schema: admin.hubTokenBody },
    answer: { schema: admin.hubTokenAnswer },
  },
  'DELETE /admin/v1/sources/hub/token': {
    ...imports,
    summary: 'Forgets it',
    answer: { schema: admin.hubTokenAnswer },
  },
  'GET /healthz': { ...health, summary: 'The process answers', answer: { schema: answers.statusAnswer } },
  'GET /readyz': {
    ...health,
    summary: 'New requests are welcome; 503 while it starts, waits for its upstream, and stops',
    answer: { schema: answers.readinessAnswer },
  },
  'GET /metrics': {
    ...health,
    access: 'operator',
    summary: "Prometheus' metrics",
    answer: { type: 'text/plain', schema: z.string() },
  },
  'GET /openapi.json': {
    ...health,
    summary: 'This document',
    answer: { schema: z.object({}).loose() },
  },
  'GET /docs': { ...health, summary: 'It, to be read', answer: { type: 'text/html', schema: z.string() } },
  'GET /docs/:file': { ...health, summary: "The viewer's files" },
  ...TENANT_OPERATIONS,
  ...CACHE_OPERATIONS,
  ...LIVE_OPERATIONS,
  ...DASHBOARD_OPERATIONS,
  ...REQUEST_OPERATIONS,
};
