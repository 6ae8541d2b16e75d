/**
 * Every error a client can receive: one class, one table from its stable code to status and OpenAI type.
 * `docs/errors.md` is generated from the table.
 */
import { StorageError } from '@polylora/adapters-store';

type OpenAIErrorType = 'invalid_request_error' | 'rate_limit_error' | 'insufficient_quota' | 'server_error';

interface ErrorDefinition {
  readonly status: number;
  readonly type: OpenAIErrorType;
  /** Whether the same request may succeed when it is sent again; told to the SDKs by `x-should-retry`. */
  readonly retry: boolean;
  readonly meaning: string;
}

function badRequest(meaning: string, status = 400): ErrorDefinition {
  return { status, type: 'invalid_request_error', retry: false, meaning };
}

function serverError(status: number, retry: boolean, meaning: string): ErrorDefinition {
  return { status, type: 'server_error', retry, meaning };
}

export const ERRORS = {
  invalid_json: badRequest('The body is not valid UTF-8 JSON, or is not a JSON object.'),
  json_too_deep: badRequest(
    'The JSON body, or JSON in the text of a field, nests arrays and objects too deeply.',
  ),
  missing_required_parameter: badRequest('A required field is absent.'),
  invalid_type: badRequest('A field has the wrong JSON type.'),
  invalid_value: badRequest('A field has a value that is not allowed, or that contradicts another field.'),
  not_cached: serverError(
    504,
    false,
    'The request asks for an answer of the cache or none (`only-if-cached`), and the cache has none.',
  ),
  cache_disabled: badRequest(
    'The server keeps no answers (`--cache off`), or is asked for what only a cache of similar questions has.',
    403,
  ),
  cache_entry_not_found: badRequest(
    'The cache has no such entry, or not any more, or none that may be seen.',
    404,
  ),
  cache_category_not_found: badRequest(
    'The cache has no such category, or none that was set by the admin API.',
    404,
  ),
  integer_above_max_value: badRequest('An integer is larger than the field allows.'),
  integer_below_min_value: badRequest('An integer is smaller than the field allows.'),
  decimal_above_max_value: badRequest('A number is larger than the field allows.'),
  decimal_below_min_value: badRequest('A number is smaller than the field allows.'),
  array_above_max_length: badRequest('An array has too many elements.'),
  object_above_max_properties: badRequest('An object has too many entries, or all of the body together.'),
  string_above_max_length: badRequest('A string is too long.'),
  empty_array: badRequest('An array needs at least one element.'),
  empty_string: badRequest('A string needs at least one character.'),
  unsupported_parameter: badRequest('A known field asks for something this server does not do.'),
  context_length_exceeded: badRequest("Prompt and completion together exceed the model's context length."),
  invalid_prompt: badRequest('The prompt cannot be used, for example a token id outside the vocabulary.'),
  invalid_schema: badRequest(
    'The schema that the answer must keep to is none, asks for what cannot be enforced, or is too large or too complex.',
  ),
  invalid_grammar: badRequest(
    'The pattern, the choices or the grammar that the answer must keep to cannot be used; the message says where.',
  ),
  constraint_failed: badRequest(
    'The answer cannot go on: `min_tokens` or `logit_bias` rule out every token that its constraint allows, or the constraint became too complex.',
  ),
  adapter_does_not_fit: badRequest(
    'The request and its adapter together need more than the whole page pool.',
  ),
  invalid_chat_template: badRequest("The model's chat template refused the messages."),
  model_not_found: badRequest('No base model or adapter has the requested name.', 404),
  invalid_api_key: badRequest(
    'The key is missing, unknown, expired, blocked or not one for this route, which are not told apart.',
    401,
  ),
  insufficient_permissions: badRequest(
    'The key is good, but not for this: an administrator must do it.',
    403,
  ),
  session_required: badRequest(
    'There is no session, or not any more: it is over, or the key that it was begun with does not hold any more.',
    401,
  ),
  csrf_token_required: badRequest(
    "What changes something with a session's cookie needs the session's token (`x-csrf-token`).",
    403,
  ),
  cross_origin_refused: badRequest(
    'A page of another origin asks for what only a page of this server may do with a session.',
    403,
  ),
  too_many_attempts: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning: 'Too many keys were tried at signing in that are none. See `retry-after`.',
  },
  admin_disabled: badRequest('The admin API is off, because the server has no operator key.', 403),
  keys_disabled: badRequest('The server does not check keys (`--auth off`), and so keeps none.', 403),
  tenant_not_found: badRequest('There is no such tenant, or none that may be seen.', 404),
  tenant_exists: badRequest('The id is a tenant, or was one.', 409),
  key_not_found: badRequest('There is no such key, or none that may be seen.', 404),
  adapter_not_found: badRequest(
    'The store has no such adapter, tag or version, or none that may be seen.',
    404,
  ),
  adapter_name_taken: badRequest(
    "Another tenant, the base model or the server's own directory of adapters has this name.",
    409,
  ),
  adapter_of_other_model: badRequest('The store has the same adapter for another base model.', 409),
  adapter_tag_invalid: badRequest('The tag is none, or cannot be moved or taken away.'),
  adapter_field_invalid: badRequest('A field of an adapter is not allowed.'),
  adapter_too_large: badRequest('The adapter has more bytes or a larger rank than is allowed.', 413),
  adapters_not_mixable: badRequest('Only adapters that are sums (LoRA, rsLoRA, VeRA, MoS) can be mixed.'),
  adapter_invalid: badRequest(
    'The files are no adapter that this base model can serve; the message says why.',
  ),
  upload_not_found: badRequest('The tenant has no such upload of an adapter, or not any more.', 404),
  upload_offset_mismatch: badRequest(
    'The bytes are not those that come next, or another request took over; `upload-offset` says where it is.',
    409,
  ),
  upload_incomplete: badRequest(
    'The upload is to be completed before all of it has come; `upload-offset` says where it is.',
    409,
  ),
  upload_too_long: badRequest('More bytes come than the upload was announced with.', 413),
  upload_damaged: badRequest('What has come is not what was sent, by its SHA-256; begin the upload again.'),
  uploads_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning:
      'As many uploads are open as `maxAdapterUploads` allows, or have announced as much as `maxAdapterUploadBytes`.',
  },
  source_invalid: badRequest('The source is none: `hf:owner/name@revision` or `s3://bucket/prefix`.'),
  source_refused: badRequest(
    'The source, or where it redirects to, is at a host or an address that `importHosts` does not allow.',
    403,
  ),
  source_denied: badRequest('The source asks for a token or other credentials than the server has.', 403),
  source_not_found: badRequest('The source has no such repository, revision, bucket or file.', 404),
  source_too_large: badRequest('The source has more bytes than an adapter may have.', 413),
  source_unavailable: serverError(502, true, 'The source cannot be reached, took too long or broke off.'),
  import_not_found: badRequest('There is no such import.', 404),
  import_ended: badRequest('The import has ended, or is being stored, and cannot be cancelled.', 409),
  import_interrupted: serverError(503, true, 'The server was stopped while it imported the adapter.'),
  imports_busy: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning: 'As many imports as there may be are running or waiting.',
  },
  secret_unreadable: serverError(
    500,
    false,
    'A token was encrypted with another `secretKey` than the server has; set it anew.',
  ),
  secret_key_invalid: serverError(
    500,
    false,
    'The file with the key for tokens holds none, or others than the server may read it.',
  ),
  unknown_url: badRequest('No route has this path.', 404),
  method_not_supported: badRequest('The route exists, but not for this HTTP method.', 405),
  request_too_large: badRequest('The body is larger than `requestBodyLimitBytes`.', 413),
  unsupported_media_type: badRequest(
    'The body is not sent as uncompressed `application/json`, or a file not as `multipart/form-data`.',
    415,
  ),
  invalid_multipart: badRequest('The body is not valid `multipart/form-data`, or has too many parts.'),
  file_too_large: badRequest('The file is larger than `fileLimitBytes`.', 413),
  file_storage_full: badRequest(
    "The tenant's files and another of this size would take more than `fileStorageLimitBytes`; delete some first.",
    413,
  ),
  response_not_found: badRequest('The tenant has no such stored response, or not any more.', 404),
  previous_response_not_found: badRequest(
    'The tenant has no such stored response to go on from, or a part of its conversation is gone.',
    404,
  ),
  conversation_too_long: badRequest(
    'The conversation of `previous_response_id` has items of more than 16 MiB; nothing of it is left out instead.',
  ),
  response_not_cancellable: badRequest('The response does not run in the background.'),
  file_not_found: badRequest('The tenant has no such file.', 404),
  file_in_use: badRequest('A batch that is not finished still reads the file.', 409),
  batch_not_found: badRequest('The tenant has no such batch.', 404),
  batch_not_cancellable: badRequest('The batch is finished, or about to be.', 409),
  headers_too_large: badRequest('The HTTP headers are too large.', 431),
  malformed_http: badRequest('The request is not valid HTTP.'),
  request_timeout: badRequest('The request was not sent in time.', 408),
  client_closed_request: badRequest('The client left before the answer; seen in logs and metrics only.', 499),
  request_exceeds_limit: badRequest(
    'The request alone may use more tokens than the tenant or the key may in a request or a minute.',
  ),
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning:
      "The tenant's or the key's requests or tokens per minute are used up; `retry-after` says when there is room.",
  },
  concurrency_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning: 'As many requests of the tenant or the key are running as may.',
  },
  insufficient_quota: {
    status: 429,
    type: 'insufficient_quota',
    retry: false,
    meaning:
      "The tenant's or the key's budget has no room for the most that the request can use; `retry-after` says when it begins anew, and is not there where it never does.",
  },
  budget_held: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning:
      "What the tenant's or the key's budget has left is held for requests that run, and may be free again in a moment.",
  },
  price_not_found: badRequest('There is no such price.', 404),
  engine_overloaded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning: 'As many requests as `maxRunning` and `maxQueued` allow are in flight. See `retry-after`.',
  },
  live_views_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning: 'As many live views of the server, or of the tenant, are open as there may be.',
  },
  no_page_pool: badRequest(
    'Another server computes the answers (`upstream`), and this one has no memory of pages to tell of.',
    404,
  ),
  deadline_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    meaning:
      'The request would have to wait longer than its `timeout`, or did. `retry-after` says when there may be room.',
  },
  adapters_elsewhere: serverError(
    501,
    false,
    'The server passes requests on to an `upstream`, and has no adapters of its own to manage.',
  ),
  storage_full: serverError(507, false, 'There is no room left on the disk of the store.'),
  storage_unavailable: serverError(
    503,
    true,
    'The disk of the store, or what stands for it, does not answer.',
  ),
  storage_denied: serverError(503, false, 'S3 refuses the server access to the bucket of the store.'),
  internal_error: serverError(500, true, 'A fault of the server. The log has the request id and the cause.'),
  numerical_error: serverError(500, false, 'The model or the adapter produced numbers that are not finite.'),
  adapter_load_failed: serverError(500, false, "The adapter's file could not be read."),
  model_not_supported: serverError(
    500,
    false,
    'At start: the model has an architecture or type not supported.',
  ),
  model_corrupt: serverError(500, false, "At start: the model's files are damaged."),
  adapter_not_loaded: serverError(503, true, 'The engine does not know the adapter yet, or any more.'),
  upstream_answer_too_large: serverError(
    502,
    false,
    'The server that computes the answers sent one of more than `upstreamAnswerBytes`; ask for less at once, or for a stream.',
  ),
  engine_unavailable: serverError(
    503,
    true,
    'The engine is starting, or starting again after a crash; or the upstream does not answer.',
  ),
  batches_unavailable: serverError(
    503,
    true,
    'Files and batches are not open: another server uses `dataDirectory`, or it cannot be written.',
  ),
  shutting_down: serverError(503, true, 'The server was told to stop and takes no new requests.'),
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof ERRORS;

/** The body of every failure, as OpenAI's API writes it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: OpenAIErrorType;
    readonly param: string | null;
    readonly code: ErrorCode;
  };
}

/** Seconds after which a client that was refused for load or a restart should try again, where nothing better is known. */
const RETRY_AFTER_SECONDS = 1;

/** An error that is meant for the client: its message is sent as it is. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly #retryAfterSeconds: number | null;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(
    code: ErrorCode,
    message: string,
    param: string | null = null,
    options?: ErrorOptions & {
      readonly retryAfterSeconds?: number | null;
      /** Of the answer, beside those that every error of this code has. */
      readonly headers?: Readonly<Record<string, string>>;
    },
  ) {
    super(message, options);
    this.code = code;
    this.param = param;
    // What is not to be tried again has a time only where one is known: when a budget begins anew.
    this.#retryAfterSeconds = options?.retryAfterSeconds ?? (ERRORS[code].retry ? RETRY_AFTER_SECONDS : null);
    this.#headers = options?.headers ?? {};
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  body(): ErrorBody {
    const { message, param, code } = this;
    return { error: { message, type: ERRORS[code].type, param, code } };
  }

  /** Headers that tell the official SDKs whether and when to retry. */
  headers(): Record<string, string> {
    const { status, retry } = ERRORS[this.code];
    return {
      ...this.#headers,
      ...(status === 429 || status === 503 ? this.#retryAfter() : {}),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      // Of every status: the SDKs would try some again that cannot be helped (408, 409) by themselves.
      'x-should-retry': String(retry),
    };
  }

  #retryAfter(): Record<string, string> {
    const seconds = this.#retryAfterSeconds;
    if (seconds === null) return {};
    return { 'retry-after': String(Math.ceil(seconds)), 'retry-after-ms': String(Math.ceil(seconds * 1000)) };
  }
}

/** What a thrown value tells the client: itself if meant for them, otherwise nothing but that we failed. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof StorageError && thrown.code !== 'blob_missing')
    return new ApiError(thrown.code, thrown.message, null, { cause: thrown });
  return new ApiError(
    'internal_error',
    'The server had an error while processing your request.',
    null,
    thrown instanceof Error ? { cause: thrown } : undefined,
  );
}
