import type { ImportJob, Imports } from '@polylora/adapters-store';
import { Hono } from 'hono';
import type { GatewayEnv } from '../../http/context.ts';
import { readJsonBody } from '../../http/json-body.ts';
import { invalidValue, missing, textValue } from '../../openai/fields.ts';
import { actorOf } from './actor.ts';
import { asked, opened } from './asked.ts';

const BODY_LIMIT_BYTES = 64 << 10;
const MOST_TAGS = 64;
const FIELDS: ReadonlySet<string> = new Set(['source', 'name', 'tags', 'note']);

/**
 * `/admin/v1/adapters/imports`: adapters that the server fetches itself.
 *
 * | | |
 * | --- | --- |
 * | `POST /` | `{"source": "hf:owner/name@revision", "name": "…", "tags": […], "note": "…"}`; 202 |
 * | `GET /`, `GET /{id}` | how far they are |
 * | `DELETE /{id}` | cancels one |
 */
export function adminImports(imports: () => Imports | null): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  app.post('/', (c) =>
    asked(async () => {
      const body = await readJsonBody(c, BODY_LIMIT_BYTES);
      const unknown = Object.keys(body).find((field) => !FIELDS.has(field));
      if (unknown !== undefined) throw invalidValue(unknown.slice(0, 64), 'it is not a field of an import.');
      const { source, name, tags, note } = body;
      if (source === undefined) throw missing('source');
      if (name === undefined) throw missing('name');
      const job = await opened(imports()).start(
        {
          source: textValue(source, 'source', 1024),
          name: textValue(name, 'name'),
          tags: tagsOf(tags ?? []),
          note: note == null ? null : textValue(note, 'note'),
        },
        actorOf(c),
      );
      return c.json(jobBody(job), 202);
    }),
  );
  app.get('/', (c) =>
    asked(async () =>
      c.json({
        object: 'list',
        data: (await opened(imports()).list(actorOf(c))).map(jobBody),
        has_more: false,
      }),
    ),
  );
  app.get('/:id', (c) =>
    asked(async () => c.json(jobBody(await opened(imports()).find(c.req.param('id'), actorOf(c))))),
  );
  app.delete('/:id', (c) =>
    asked(async () => c.json(jobBody(await opened(imports()).cancel(c.req.param('id'), actorOf(c))))),
  );
  return app;
}

function tagsOf(tags: unknown): string[] {
  if (!Array.isArray(tags) || tags.length > MOST_TAGS)
    throw invalidValue('tags', `it must be a list of at most ${MOST_TAGS} tags.`);
  return tags.map((tag, index) => textValue(tag, `tags[${index}]`));
}

function jobBody({ id, state, source, name, tags, note, ...job }: ImportJob): object {
  const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000);
  return {
    id,
    object: 'adapter.import',
    state,
    source,
    name,
    tags,
    note,
    bytes_done: job.bytesDone,
    bytes_total: job.bytesTotal,
    result: job.result,
    error: job.error,
    created: seconds(job.createdAt),
    finished: job.finishedAt === null ? null : seconds(job.finishedAt),
  };
}
