import { Allowlist, HUB_HOSTS, parseS3Location, parseSecretKey } from '@polylora/adapters-store/options';
import { z } from 'zod';
import { categoryName, categorySchema } from '../cache/categories/category-schema.ts';
import { DEFAULT_CATEGORIES } from '../cache/categories/defaults.ts';
import { CACHED_ROUTES } from '../cache/controls.ts';
import { Proxies } from '../http/proxies.ts';
import { MOST_PRICED_NAME, perMillion } from '../tenants/price.ts';
import { parseExportHeaders } from '../tracing/export-headers.ts';

/** An option that may be left unset and then is null. */
function unset<T extends z.ZodType>(schema: T) {
  return schema.nullable().default(null);
}

/** Of an option that can be changed while the server runs. */
function reloaded(description: string) {
  return { description, reloads: true };
}

const text = z.string().min(1);
const count = z.int().min(1);

/** Hosts as they are written in one option. */
export function hostsOf(value: string): string[] {
  return value.split(',');
}

/** Addresses as they are written in one option; none where it is unset. */
export function addressesOf(value: string | null): string[] {
  return value === null ? [] : value.split(',').map((address) => address.trim());
}

/** A URL with the protocol of the example, or its secure variant. */
function url(example: string) {
  const protocol = example.startsWith('http') ? /^https?$/ : /^rediss?$/;
  return z.url({ protocol, error: `Expected a URL, such as ${example}` });
}

/** What `embeddingModel` says where there is to be none. */
export const NO_EMBEDDING_MODEL = 'none';

const POSTGRES = /^postgres(ql)?:\/\//;
const HUB = 'https://huggingface.co';

function isAllowlist(value: string): boolean {
  try {
    new Allowlist(hostsOf(value));
    return true;
  } catch {
    return false;
  }
}

function areAddresses(value: string): boolean {
  try {
    new Proxies(addressesOf(value));
    return true;
  } catch {
    return false;
  }
}

function isOrigin(value: string): boolean {
  return URL.canParse(value) && new URL(value).origin === value;
}

const priceSchema = z.strictObject({
  input: perMillion,
  cachedInput: perMillion.nullish(),
  output: perMillion,
});
export const PRICE_FIELDS: readonly string[] = Object.keys(priceSchema.shape);

/** What options have to be together. Its message repeats no value: any of them may hold a secret. */
interface Rule {
  /** The option that is at fault. */
  readonly key: string;
  readonly isKept: (config: {
    readonly upstream: string | null;
    readonly adapters: string | null;
    readonly hubUrl: string;
    readonly importHosts: string;
    readonly cache: 'off' | 'exact' | 'semantic';
    readonly embeddingModel: string;
  }) => boolean;
  readonly message: string;
}

export const RULES: readonly Rule[] = [
  {
    key: 'adapters',
    isKept: ({ upstream, adapters }) => upstream === null || adapters === null,
    message:
      'Adapters cannot be served from here where another server computes the answers (upstream): it has its own',
  },
  {
    key: 'hubUrl',
    // Whoever allows no host of the hub that everybody has wants no imports from it.
    isKept: ({ hubUrl, importHosts }) =>
      hubUrl === HUB ||
      // What is wrong by itself is told by itself.
      !(URL.canParse(hubUrl) && isAllowlist(importHosts)) ||
      new Allowlist(hostsOf(importHosts)).permit(new URL(hubUrl)) !== null,
    message:
      "Nothing could be imported from there: importHosts must have its host, or its origin (https://hub.example:8443) where it is in your own network or isn't reached by https",
  },
  {
    key: 'cache',
    isKept: ({ cache, embeddingModel }) => cache !== 'semantic' || embeddingModel !== NO_EMBEDDING_MODEL,
    message:
      "Similar questions are found by an embedding model: set embeddingModel to one, or cache to 'exact' for equal questions only",
  },
];

/** What no category is called of those that models' questions are to be of. */
function unknownCategories({
  cacheCategories,
  cacheModelCategories,
}: {
  readonly cacheCategories: Readonly<Record<string, unknown>>;
  readonly cacheModelCategories: Readonly<Record<string, string>>;
}): { readonly path: string[]; readonly message: string }[] {
  const known = new Set([...DEFAULT_CATEGORIES.keys(), ...Object.keys(cacheCategories)]);
  const message = `There is no such category: expected ${[...known].join(', ')}, or one that cacheCategories has`;
  return Object.entries(cacheModelCategories).flatMap(([model, category]) =>
    known.has(category) ? [] : [{ path: ['cacheModelCategories', model], message }],
  );
}

/**
 * Every option of the server. The keys name the fields of the config file; flags (`--max-running`) and
 * environment variables (`POLYLORA_MAX_RUNNING`) are derived from them, and `--help` is written from it.
 */
export const configSchema = z
  .strictObject({
    model: text
      .default('SmolLM2-135M-Instruct')
      .describe(
        "Base model: a Hugging Face directory, a .gguf file, a hub id (owner/name), or the default's name",
      ),
    upstream: unset(url('http://localhost:8000')).meta({
      description:
        'Another server with the OpenAI API that computes the answers (vLLM, SGLang, llama-server, another Polylora): no model is loaded here then',
      // A URL may have a password in it.
      secret: true,
    }),
    upstreamKey: unset(text).meta({
      description: 'Key that is sent to the upstream (unset: none)',
      secret: true,
    }),
    upstreamPriority: z
      .enum(['off', 'lower-first', 'higher-first'])
      .default('off')
      .describe(
        "Whether the upstream is sent a number as 'priority', and which comes first there: lower with vLLM's --scheduling-policy priority, higher with SGLang's --enable-priority-scheduling",
      ),
    upstreamAnswerBytes: count
      .default(128 * 1024 ** 2)
      .describe('Largest answer of the upstream that is taken whole, not streamed, in bytes'),
    servedModelName: unset(text).describe(
      "Name of the base model in the API; 'base' always works too (unset: the model's own name)",
    ),
    adapters: unset(text).describe('Directory whose subdirectories are PEFT adapters'),
    store: unset(text).describe(
      'Directory of the adapters store, for adapters that are pushed to the server (unset: store in the home directory)',
    ),
    database: unset(
      text.refine(
        (value) => POSTGRES.test(value) || !/^\s*[a-z][a-z0-9+.-]+:/i.test(value),
        'Expected a file for SQLite, such as /var/lib/polylora/polylora.db, or a URL of PostgreSQL, such as postgres://user@localhost/polylora: there are no other databases',
      ),
    ).meta({
      description:
        "The store's metadata: a file of SQLite's, or a postgres:// URL for several servers (unset: polylora.db in the store)",
      secret: true,
    }),
    blobs: unset(
      text.refine((value) => parseS3Location(value) !== null, 'Expected s3://bucket or s3://bucket/prefix'),
    ).describe(
      "Where the store's adapters are kept for several servers: s3://bucket/prefix, with credentials from where AWS's tools look for them (unset: in the store's directory)",
    ),
    blobCacheBytes: count
      .default(20 * 1024 ** 3)
      .describe('Most that local copies of adapters kept in S3 may take, in bytes'),
    s3Endpoint: unset(url('http://localhost:9000')).describe(
      "Address of an S3-compatible server (unset: Amazon's)",
    ),
    s3Region: unset(text).describe("S3's region (unset: from the environment)"),
    auth: z
      .enum(['keys', 'off'])
      .default('keys')
      .describe(
        "Who may use the server: whoever has a key of its database; with 'off' whoever reaches it, each key a tenant of its own",
      ),
    operatorKey: unset(text.min(16, 'Too short: an operator key has at least 16 characters')).meta({
      description:
        'An operator key of your own, beside those of the database (unset: the first start makes one and prints it)',
      secret: true,
    }),
    redis: unset(url('redis://localhost:6379')).meta({
      description:
        'redis:// URL in which several servers of one database count requests, tokens and budgets together (unset: each counts by itself)',
      secret: true,
    }),
    metricsAccess: z
      .enum(['operator', 'open'])
      .default('operator')
      .describe(
        'Who may read /metrics, which tells the names of tenants and adapters: operators, or everybody',
      ),
    tracesEndpoint: unset(url('http://localhost:4318/v1/traces')).meta({
      description:
        'Where traces of requests are sent by OTLP over HTTP, such as http://localhost:4318/v1/traces (unset: none are made)',
      // A URL may have a password in it.
      secret: true,
    }),
    tracesSampleRatio: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe('Share of the traces that begin here that is sent; where a client began one, it has decided'),
    tracesHeaders: unset(
      text.refine(
        (value) => parseExportHeaders(value) !== null,
        'Expected headers such as authorization=Bearer abc, parted by commas',
      ),
    ).meta({
      description: 'Headers that are sent with traces: name=value, parted by commas (unset: none)',
      secret: true,
    }),
    otlpMetricsEndpoint: unset(url('http://localhost:4318/v1/metrics')).meta({
      description:
        "Where OpenTelemetry's metrics of models are sent by OTLP over HTTP, such as http://localhost:4318/v1/metrics (unset: nowhere)",
      secret: true,
    }),
    otlpMetricsHeaders: unset(
      text.refine(
        (value) => parseExportHeaders(value) !== null,
        'Expected headers such as authorization=Bearer abc, parted by commas',
      ),
    ).meta({
      description:
        "Headers that are sent with OpenTelemetry's metrics: name=value, parted by commas (unset: none)",
      secret: true,
    }),
    runtimeLoraRoot: unset(text).describe(
      "Directory from which vLLM's /v1/load_lora_adapter may load adapters, at an operator's wish (unset: off)",
    ),
    adapterLimitBytes: count
      .default(2 * 1024 ** 3)
      .meta(reloaded('Largest weights of an adapter that may be pushed, in bytes')),
    adapterLimitRank: count.default(512).meta(reloaded('Largest rank of an adapter that may be pushed')),
    prices: z
      .record(text.max(MOST_PRICED_NAME), priceSchema)
      .default({})
      .meta(
        reloaded(
          "What a million tokens cost: 'input', 'output' and perhaps 'cachedInput', by the name of an adapter, owner/*, base or *. Of a name that the admin API has given a price too, that one counts",
        ),
      ),
    maxAdapterUploads: count
      .default(16)
      .meta(reloaded('Uploads of adapters in parts that may be open at the same time, for each tenant')),
    maxAdapterUploadBytes: count
      .default(16 * 1024 ** 3)
      .meta(reloaded('Bytes that these uploads may take together, for each tenant')),
    adapterGraceSeconds: z
      .number()
      .min(0)
      .default(24 * 60 * 60)
      .describe('Time for which a version that no tag stands for any more is kept'),
    host: text.default('127.0.0.1').describe('Address to listen on'),
    port: z.int().min(0).max(65_535).default(8080).describe('Port to listen on, 0 for any free one'),
    home: text.describe('Directory for downloaded and prepared models'),
    hubToken: unset(text.regex(/^hf_\S+$/, "Invalid token: expected one that starts with 'hf_'")).meta({
      description:
        'Access token for gated and private models on the Hugging Face hub; arguments show in the list of processes, ' +
        'the environment does not (unset: HF_TOKEN)',
      secret: true,
      reloads: true,
    }),
    hubUrl: url('https://hub.example')
      .default(HUB)
      .describe('Hugging Face hub that adapters are imported from; its host must be one of importHosts'),
    importHosts: text
      .refine(
        isAllowlist,
        'Expected hosts such as huggingface.co and *.hf.co, or origins such as https://hub.example:8443',
      )
      .default(HUB_HOSTS.join(','))
      .describe(
        'Hosts that adapters are imported from and redirected to, parted by commas: by https and at public addresses; an origin (https://hub.example:8443) is reached in your own network as well',
      ),
    secretKey: unset(
      text.refine(
        (value) => parseSecretKey(value) !== null,
        'Expected 64 hexadecimal digits, or 32 bytes in base64',
      ),
    ).meta({
      description:
        'Key that tokens are encrypted and API keys hashed with in the metadata, the same for all servers that share it (unset: secret.key in the home directory, made when it is first needed)',
      secret: true,
    }),
    weights: z.enum(['int8', 'f32']).default('int8').describe("Type of the base model's weights in memory"),
    loraDtype: z
      .enum(['f16', 'int8'])
      .default('f16')
      .describe('Type of the adapters in memory; int8 halves them and is a little less exact'),
    kvCacheDtype: z
      .enum(['f16', 'int8'])
      .default('f16')
      .describe('What keys and values are kept as; int8 holds nearly twice the tokens and is read faster'),
    threads: unset(count.max(1024)).describe('Threads for computing (unset: one per core)'),
    maxModelLen: unset(count).describe("Longest prompt plus completion, in tokens (unset: the model's own)"),
    poolMegabytes: unset(count).describe(
      'Memory for KV blocks and adapters together, in MiB (unset: a quarter of what the machine or the container has, at most 4 GiB)',
    ),
    maxBatchTokens: count
      .default(512)
      .describe('Tokens computed in one step, prompts and completions together'),
    maxRunning: count.default(64).describe('Sequences generated at the same time'),
    maxQueued: z
      .int()
      .min(0)
      .default(1024)
      .meta(reloaded('Sequences that may wait beyond those; more are refused with 429')),
    maxBatchAdapters: unset(count).describe(
      'Distinct adapters in a batch beyond which requests for others wait up to a second (unset: no limit)',
    ),
    tpotTargetMs: unset(z.number().positive()).describe(
      "Milliseconds between a stream's tokens that reading others' prompts may stretch them to (unset: twice their own time, at least 100)",
    ),
    prefixCache: z
      .enum(['tenant', 'shared', 'off'])
      .default('tenant')
      .describe(
        "Who finds a prompt's beginning already computed: its own tenant; with 'shared' every tenant of the base model, who can then tell by the time what others asked",
      ),
    speculation: z
      .enum(['auto', 'off'])
      .default('auto')
      .describe(
        'Whether tokens that what was read before foretells are computed ahead; auto: where that pays. Answers are the same',
      ),
    allowPriority: z
      .enum(['yes', 'no'])
      .default('no')
      .meta(reloaded("Whether clients may come first with 'service_tier': 'priority'")),
    corsOrigins: unset(
      text.refine(
        (value) => value.split(',').every(isOrigin),
        'Expected origins such as https://app.example, parted by commas',
      ),
    ).describe('Origins whose pages may ask from a browser, parted by commas (unset: none)'),
    trustedProxies: unset(
      text.refine(
        areAddresses,
        'Expected addresses or networks such as 10.0.0.1 and 10.0.0.0/8, parted by commas',
      ),
    ).describe(
      'Addresses of proxies before the server, parted by commas, whose x-forwarded-for and x-forwarded-proto are believed (unset: nobody is)',
    ),
    logPrompts: z
      .enum(['yes', 'no'])
      .default('no')
      .meta(reloaded("Whether each request's line of the log has its prompt, for whoever may read it")),
    drainSeconds: z
      .number()
      .min(0)
      .max(86_400)
      .default(30)
      .meta(reloaded('Time for running requests to finish when the server is told to stop')),
    logLevel: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .meta(reloaded('Least severe log lines to write (JSON, to standard error)')),
    embeddingModel: text
      .default('all-MiniLM-L6-v2')
      .describe(
        "Embedding model beside the base model: a directory or hub id of a BERT model, or the default's name; it is fetched and loaded when it is first asked for. 'none': there is none, as before an upstream, which has its own",
      ),
    embeddingWeights: z
      .enum(['int8', 'f32'])
      .default('int8')
      .describe("Type of the embedding model's weights in memory"),
    embeddingThreads: count
      .max(64)
      .default(2)
      .describe(
        'Threads of the embedding model, beside those of the base model; at most as many as there are processors',
      ),
    embeddingStart: z
      .enum(['first-use', 'start'])
      .default('first-use')
      .describe('When the embedding model is fetched and loaded'),
    cache: z
      .enum(['off', 'exact', 'semantic'])
      .default('off')
      .describe(
        'Whether repeated questions are answered from the answer cache: equal ones (exact), or such as ask the same in other words, too (semantic)',
      ),
    cacheStore: unset(
      text.refine(
        (value) =>
          POSTGRES.test(value) || /^rediss?:\/\//.test(value) || !/^\s*[a-z][a-z0-9+.-]+:/i.test(value),
        'Expected a file for SQLite, or a postgres:// or redis:// URL',
      ),
    ).meta({
      description:
        "Where the cache's answers lie: a file of SQLite's, or a postgres:// or redis:// URL that several servers share (unset: cache.db in the data directory)",
      secret: true,
    }),
    cacheMemoryBytes: count
      .default(64 * 1024 ** 2)
      .describe('Most that answers kept in memory take, about, in bytes'),
    cacheLookupMs: z
      .number()
      .positive()
      .default(100)
      .describe(
        'Milliseconds after which a question is answered without the cache, because it cannot be embedded in time',
      ),
    cacheTargetQueueMs: z
      .number()
      .positive()
      .default(500)
      .meta(
        reloaded(
          'Milliseconds that requests may wait for the backend before categories that allow it find less similar and older answers',
        ),
      ),
    cacheCategories: z
      .record(categoryName, categorySchema)
      .default({})
      .meta(
        reloaded(
          'Categories of the cache by name: what differs from the built-in ones, and your own, with at least ten examples each',
        ),
      ),
    cacheModelCategories: z
      .record(text.max(MOST_PRICED_NAME), categoryName)
      .default({})
      .meta(
        reloaded(
          'The category of all questions to a model, so that it need not be found out: by the name of an adapter, owner/*, base or *',
        ),
      ),
    cacheRouteCategories: z
      .partialRecord(z.enum(CACHED_ROUTES), categoryName)
      .default({})
      .meta(
        reloaded(
          "The category of all questions that come by a route, where their model's is not given: /v1/chat/completions, /v1/completions or /v1/responses",
        ),
      ),
    dataDirectory: unset(text).describe(
      "Directory for clients' files and batches; one server at a time uses it (unset: data in the home directory)",
    ),
    batchConcurrency: count
      .default(32)
      .meta(reloaded('Sequences of batches (/v1/batches) in flight at the same time')),
    fileLimitBytes: count
      .default(200 * 1024 * 1024)
      .meta(reloaded('Largest file that clients may upload, in bytes')),
    responseStorageBytes: count
      .default(256 * 1024 ** 2)
      .meta(reloaded("Most that a tenant's stored responses may take, in bytes; the oldest make room")),
    responseSeconds: z
      .number()
      .min(1)
      .default(30 * 24 * 60 * 60)
      .meta(reloaded('Time for which a response is stored')),
    fileStorageLimitBytes: count
      .default(10 * 1024 * 1024 * 1024)
      .meta(reloaded("Most that one tenant's files may take together, in bytes")),
    requestBodyLimitBytes: count.default(4 * 1024 * 1024).meta(reloaded('Largest request body, in bytes')),
  })
  .superRefine((config, context) => {
    for (const { key, isKept, message } of RULES)
      if (!isKept(config)) context.addIssue({ code: 'custom', path: [key], message, input: undefined });
    for (const problem of unknownCategories(config))
      context.addIssue({ code: 'custom', ...problem, input: undefined });
  })
  .readonly();

/** What each option's value has to be, by itself. */
export const OPTION_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map(
  Object.entries(configSchema.unwrap().shape),
);

export type Config = z.infer<typeof configSchema>;
export type ConfigKey = keyof Config;

/** One option as its users see it, which can be set by the config file. */
export interface FileOption {
  readonly key: ConfigKey;
  readonly description: string;
  /** Its value is never shown. */
  readonly isSecret: boolean;
  /** Takes a new value from the file while the server runs; others at the next start. */
  readonly reloads: boolean;
}

/** An option that has one value, so that it can be set by a flag and in the environment as well. */
export interface ConfigOption extends FileOption {
  readonly flag: string;
  readonly env: string;
  readonly isNumber: boolean;
  readonly choices: readonly string[] | null;
  /** null where there is none. */
  readonly default: string | number | null;
}

/** What JSON Schema says of one property, as far as this file needs it. */
const propertySchema = z.object({
  description: z.string(),
  type: z.string().optional(),
  enum: z.array(z.string()).optional(),
  secret: z.boolean().optional(),
  reloads: z.boolean().optional(),
  default: z.union([z.string(), z.number(), z.object({})]).nullish(),
  anyOf: z.array(z.object({ type: z.string() })).optional(),
});

const PROPERTIES = Object.entries(z.toJSONSchema(configSchema, { io: 'input' }).properties ?? {}).map(
  ([key, property]) => ({ key: key as ConfigKey, ...propertySchema.parse(property) }),
);

function fileOption({ key, description, secret, reloads }: (typeof PROPERTIES)[number]): FileOption {
  return { key, description, isSecret: secret ?? false, reloads: reloads ?? false };
}

/** All options in the schema's order, derived from the schema alone. */
export const ALL_OPTIONS: readonly FileOption[] = PROPERTIES.map(fileOption);

/** Those that only the file can set, because they are more than one value. */
export const FILE_OPTIONS: readonly FileOption[] = PROPERTIES.filter(({ type }) => type === 'object').map(
  fileOption,
);

/** Those that flags and the environment can set too. */
export const CONFIG_OPTIONS: readonly ConfigOption[] = PROPERTIES.filter(({ type }) => type !== 'object').map(
  (property) => {
    const { key, type, enum: choices, default: value, anyOf } = property;
    const types = anyOf?.map((branch) => branch.type) ?? [type];
    const words = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return {
      ...fileOption(property),
      flag: `--${words}`,
      env: `POLYLORA_${words.replaceAll('-', '_').toUpperCase()}`,
      isNumber: types.some((name) => name === 'integer' || name === 'number'),
      choices: choices ?? null,
      default: typeof value === 'object' ? null : (value ?? null),
    };
  },
);
