import { z } from 'zod';
import type { BackendEmbedding, BackendVector } from '../backend.ts';
import { UpstreamBroken } from './failure.ts';

const Embeddings = z.object({
  data: z.array(z.object({ index: z.int(), embedding: z.array(z.number()).min(1) })),
  usage: z.object({ prompt_tokens: z.int().min(0) }).nullish(),
});

/** What servers that tell no usage are taken to have: about as many characters as a token has in English. */
const CHARACTERS_PER_TOKEN = 4;

/** @throws UpstreamBroken where it is no answer, or not one for each text */
export function vectorsOf(body: Uint8Array, { inputs }: BackendEmbedding): BackendVector[] {
  const { data, usage } = parsed(body);
  const vectors = [...data].sort((a, b) => a.index - b.index);
  if (vectors.length !== inputs.length || vectors.some(({ index }, place) => index !== place)) {
    throw new UpstreamBroken('the upstream’s answer has not one vector for each text');
  }
  const sizes = inputs.map((input) =>
    input.kind === 'tokens' ? input.ids.length : Math.ceil(input.text.length / CHARACTERS_PER_TOKEN),
  );
  // It tells them for all texts together: they are counted with the first.
  const told = usage?.prompt_tokens;
  return vectors.map(({ embedding }, index) => ({
    vector: Float32Array.from(embedding),
    promptTokens: told === undefined ? sizes[index]! : index === 0 ? told : 0,
  }));
}

function parsed(body: Uint8Array): z.infer<typeof Embeddings> {
  try {
    return Embeddings.parse(JSON.parse(Buffer.from(body).toString()));
  } catch {
    throw new UpstreamBroken('the upstream’s answer has no embeddings');
  }
}
