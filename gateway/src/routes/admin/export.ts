import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { AdaptersStore } from '@polylora/adapters-store';
import type { Context } from 'hono';
import { pack } from 'tar-stream';
import { ApiError } from '../../errors.ts';
import type { GatewayEnv } from '../../http/context.ts';
import { actorOf } from './actor.ts';
import { releaseBody } from './release-body.ts';

/**
 * A version as a PEFT folder in a .tar: what it is and where it came from, its configuration, its weights, under these
 * fixed names. Pushed again, it has the same digest; fetched again, the archive has the same bytes.
 */
export async function exportAdapter(c: Context<GatewayEnv>, store: AdaptersStore): Promise<Response> {
  const name = c.req.param('name') ?? '';
  const which = c.req.query('version') ?? 'latest';
  const actor = actorOf(c);
  const found = await store.inspect(name, actor);
  // To use an adapter is not to have its weights.
  if (found.owner !== actor.tenant) throw new ApiError('adapter_not_found', `there is no adapter '${name}'`);
  const { release, config, weights } = await store.files(name, which, actor);
  const archive = pack();
  const mtime = new Date(release.version.createdAt);
  const about = `${JSON.stringify(releaseBody(release), null, 2)}\n`;
  archive.entry({ name: 'polylora.json', mtime }, about);
  archive.entry({ name: 'adapter_config.json', mtime }, config);
  const entry = archive.entry({ name: 'adapter_model.safetensors', mtime, size: release.version.bytes });
  const body = new PassThrough();
  // Whoever leaves in the middle, or a file that cannot be read on, ends all three.
  const sent = pipeline(archive, body);
  pipeline(weights.createReadStream(), entry).then(
    () => archive.finalize(),
    (error: Error) => archive.destroy(error),
  );
  sent.catch(() => {});
  const filename = `${name.replaceAll('/', '-')}-v${release.number}.tar`;
  return c.body(Readable.toWeb(body) as ReadableStream, 200, {
    'content-type': 'application/x-tar',
    'content-disposition': `attachment; filename="${filename}"`,
    'cache-control': 'no-store',
  });
}
