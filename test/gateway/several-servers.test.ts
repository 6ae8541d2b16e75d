/** What a server says at its start of others that may use its database. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { START_MILLISECONDS, startGateway } from '../support/gateway.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../support/postgres.ts';
import { HAS_REDIS, type RedisServer, startRedis } from '../support/redis.ts';
import { answerCompletion, startUpstream, type TestUpstream } from '../support/upstream.ts';

const programs = postgresPrograms();

describe.skipIf(programs === null || !HAS_REDIS)('a server', () => {
  let [postgres, redis, upstream] = [{} as PostgresServer, {} as RedisServer, {} as TestUpstream];
  beforeAll(async () => {
    [postgres, redis] = [await startPostgres(programs!), await startRedis()];
    upstream = await startUpstream(100, (response) => answerCompletion(response));
  }, START_MILLISECONDS);
  afterAll(async () => {
    await upstream.stop();
    await redis.stop();
    await postgres.stop();
  });

  it.each([
    ['on PostgreSQL warns that it counts by itself', { postgres: true, redis: false }, 1],
    ['on PostgreSQL with Redis need not', { postgres: true, redis: true }, 0],
    ['on a file of its own need not', { postgres: false, redis: false }, 0],
  ])(
    '%s',
    async (_, has, warnings) => {
      const gateway = await startGateway({
        auth: 'keys',
        adapters: null,
        args: [
          ...['--upstream', upstream.url, '--embedding-model', 'none'],
          ...(has.postgres ? ['--database', await postgres.url()] : []),
          ...(has.redis ? ['--redis', redis.url] : []),
        ],
        env: { POLYLORA_SECRET_KEY: 'ab'.repeat(32) },
      });
      // All it has written is here once it has ended; "ready" may be read before a warning, on another pipe.
      await gateway.stop();
      const warned = gateway.logs().filter((line) => line.includes('--redis'));
      expect(warned).toHaveLength(warnings);
    },
    START_MILLISECONDS,
  );
});
