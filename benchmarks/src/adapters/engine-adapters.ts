import { join } from 'node:path';
import { readAdapter } from '@polylora/adapters-store';
import { type Engine, type LoraModule, projectionShape } from '@polylora/engine';
import { writeRandomAdapters } from './random-adapter.ts';

/** Writes distinct random adapters of one rank and makes them known to an engine. @returns their digests */
export async function addRandomAdapters(
  engine: Engine,
  folder: string,
  count: number,
  rank: number,
): Promise<string[]> {
  const shape = {
    layerCount: engine.model.layerCount,
    projection: (module: LoraModule) => projectionShape(engine.model, module),
  };
  const digests: string[] = [];
  for (const name of writeRandomAdapters(folder, count, rank)) {
    const adapter = await readAdapter(join(folder, name), shape);
    await engine.addAdapter(adapter);
    digests.push(adapter.digest);
  }
  return digests;
}
