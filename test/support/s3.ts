import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import S3rver from 's3rver';
import { freePort } from '../../benchmarks/src/http/free-port.ts';

// The version that is used wants no later Node; the product says so for itself.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

/** The credentials that the server knows. */
export const S3_ENVIRONMENT = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' } as const;
const BUCKET = 'adapters';

export interface S3Server {
  readonly endpoint: string;
  /** `s3://…` of a place that nothing was put in yet. */
  location(): string;
  /** A client for tests; the product makes its own. */
  readonly client: S3Client;
  /** Removes an object behind everybody's back. */
  remove(url: string): Promise<void>;
  /** Told of each request; what it returns ends that. */
  onRequest(listener: (method: string) => void): () => void;
  /** As when the network is gone: connections are refused. */
  goAway(): Promise<void>;
  /** With all that was there. */
  comeBack(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server of its own that speaks S3 and keeps its objects in a temporary directory. */
export async function startS3(): Promise<S3Server> {
  const directory = mkdtempSync(join(tmpdir(), 'polylora-s3-'));
  const port = await freePort();
  const s3 = new S3rver({ silent: true, directory, configureBuckets: [{ name: BUCKET, configs: [] }] });
  await s3.configureBuckets();
  const answer = s3.callback();
  const listeners = new Set<(method: string) => void>();
  const listen = async () => {
    const server = createServer((request, response) => {
      for (const listener of listeners) listener(request.method ?? '');
      answer(request, response);
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  let server: Server | null = await listen();
  const goAway = async () => {
    if (server === null) return;
    const closed = once(server, 'close');
    server.close();
    // Clients keep their connections open, and would be answered on them.
    server.closeAllConnections();
    server = null;
    await closed;
  };
  // The product finds credentials where AWS's tools do.
  Object.assign(process.env, S3_ENVIRONMENT);
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({
    endpoint,
    forcePathStyle: true,
    region: 'us-east-1',
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  let locations = 0;
  return {
    endpoint,
    location: () => `s3://${BUCKET}/store-${locations++}`,
    client,
    async remove(url) {
      const { pathname } = new URL(url);
      await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: pathname.slice(1) }));
    },
    onRequest(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    goAway,
    async comeBack() {
      server ??= await listen();
    },
    async stop() {
      client.destroy();
      await goAway();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
