import { z } from 'zod';
import { BATCH_ENDPOINTS } from '../batches/batch-record.ts';
import { metadata } from './metadata.ts';
import { optional, text, unsupportedField } from './schema-parts.ts';

/** The body of `POST /v1/batches`. */
export const batchBody = z.object({
  endpoint: z.enum(BATCH_ENDPOINTS).meta({ description: 'Where each line would have been sent to.' }),
  completion_window: z.enum(['24h']).meta({ description: "OpenAI's only one." }),
  output_expires_after: unsupportedField(),
  metadata: optional(metadata, 'Up to 16 short texts for your own use.'),
  input_file_id: text().meta({ description: 'A file of the purpose `batch`.' }),
});
