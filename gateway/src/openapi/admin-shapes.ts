/** What the administrators' routes for adapters take and give. */
import { z } from 'zod';

const time = z.int().meta({ description: 'Unix time in seconds.' });
const name = z.string().meta({ description: 'An adapter, such as `acme/support`.' });
const binary = z.string().meta({ format: 'binary' });
const note = z.string().nullish();
const parent = z.string().nullish().meta({ description: 'The digest it was made from.' });

export const loadLoraBody = z.object({
  lora_name: z.string(),
  lora_path: z.string(),
  load_inplace: z.boolean().optional(),
});

export const unloadLoraBody = z.object({ lora_name: z.string() });

export const pushForm = z.object({
  name,
  config: binary.meta({ description: 'adapter_config.json', format: 'binary' }),
  weights: binary.meta({ description: 'The safetensors file.', format: 'binary' }),
  tags: z.string().optional().meta({ description: 'With commas.' }),
  note: z.string().optional(),
  parent: z.string().optional(),
});

const versionFields = {
  digest: z.string(),
  base_digest: z.string(),
  bytes: z.int(),
  kind: z.string(),
  ranks: z.record(z.string(), z.int()),
  source: z.object({ kind: z.string() }).loose(),
  parent: z.string().nullable(),
  note: z.string().nullable(),
  created: time,
  pinned: z.boolean(),
};

export const releaseAnswer = z.object({ name, release: z.string(), ...versionFields });

export const adaptersAnswer = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      name,
      owner: z.string(),
      digest: z.string(),
      kind: z.string(),
      bytes: z.int(),
      created: time,
      moved: time,
    }),
  ),
  has_more: z.boolean(),
});

export const adapterAnswer = z.object({ name, releases: z.array(releaseAnswer) }).loose();

export const removedAnswer = z.object({
  name,
  deleted: z.literal(true),
  removed: z.array(z.string()).meta({ description: 'Digests of the versions that are gone.' }),
});

export const tagBody = z.object({ version: z.string().meta({ description: 'Such as `v3`.' }) });
export const taggedAnswer = z.object({ name, tag: z.string(), version: z.string() });

export const grantBody = z.union([
  z.object({ tenant: z.string().meta({ description: '`*` for everybody.' }) }),
  z.object({ key: z.string() }),
]);

export const uploadBody = z.object({
  name,
  config: z.union([z.string(), z.object({}).loose()]),
  bytes: z.int().min(1).meta({ description: 'Of the safetensors file.' }),
  sha256: z.string().nullish(),
  tags: z.array(z.string()).max(64).nullish(),
  note,
  parent,
});

export const uploadAnswer = z.object({
  id: z.string(),
  name,
  bytes: z.int(),
  offset: z.int(),
  max_chunk_bytes: z.int(),
  expires: time,
  release: z.string().nullable(),
});

export const importBody = z.object({
  source: z.string().max(1024).meta({ description: '`hf:owner/name@revision` or `s3://bucket/prefix`' }),
  name,
  tags: z.array(z.string()).nullish(),
  note,
});

export const importAnswer = z.object({
  id: z.string(),
  object: z.literal('adapter.import'),
  state: z.string(),
  source: z.string(),
  name,
  tags: z.array(z.string()),
  note: z.string().nullable(),
  bytes_done: z.int(),
  bytes_total: z.int().nullable(),
  result: z.object({}).loose().nullable(),
  error: z.object({}).loose().nullable(),
  created: time,
  finished: time.nullable(),
});

export const importsAnswer = z.object({
  object: z.literal('list'),
  data: z.array(importAnswer),
  has_more: z.boolean(),
});

export const hubTokenBody = z.object({ token: z.string().meta({ description: 'Such as `hf_…`.' }) });
export const hubTokenAnswer = z.object({ set: z.boolean(), updated: time.nullable() });
