import { join } from 'node:path';
import { type BaseModelShape, readAdapter } from '@polylora/adapters-store';
import { type Engine, type ModelInfo, projectionShape } from '@polylora/engine';
import { writeRandomAdapters } from './random-adapter.ts';

/** What an adapter is checked against. */
export function shapeOf(model: ModelInfo): BaseModelShape {
  return { layerCount: model.layerCount, projection: (module) => projectionShape(model, module) };
}

/** Writes distinct random adapters of one rank and makes them known to an engine. @returns their digests */
export async function addRandomAdapters(
  engine: Engine,
  folder: string,
  count: number,
  rank: number,
): Promise<string[]> {
  const shape = shapeOf(engine.model);
  const digests: string[] = [];
  for (const name of writeRandomAdapters(folder, count, rank)) {
    const adapter = await readAdapter(join(folder, name), shape);
    await engine.addAdapter(adapter);
    digests.push(adapter.digest);
  }
  return digests;
}
