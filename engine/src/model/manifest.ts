import { z } from 'zod';
import { manifestFields } from './prepared-directory.ts';

/** What is kept beside a prepared model's files. */
export const Manifest = z.object({
  model: z.object({
    architecture: z.enum(['llama', 'mistral', 'qwen2', 'qwen3']),
    weights: z.enum(['int8', 'f32']),
    layerCount: z.int(),
    hiddenSize: z.int(),
    intermediateSize: z.int(),
    headCount: z.int(),
    kvHeadCount: z.int(),
    headDim: z.int(),
    vocabSize: z.int(),
    contextLength: z.int(),
  }),
  chatTemplate: z.string().nullable(),
  bosToken: z.string().nullable(),
  eosToken: z.string().nullable(),
  eosTokenIds: z.array(z.int()),
  ...manifestFields,
});
export type Manifest = z.infer<typeof Manifest>;
