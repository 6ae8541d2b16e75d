import { realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import {
  AdapterError,
  type AdaptersStore,
  EVERYONE,
  type PushLimits,
  StoreError,
} from '@polylora/adapters-store';
import type { Context } from 'hono';
import { OPERATOR } from '../access/access.ts';
import type { Backend } from '../backends/backend.ts';
import type { GatewayEnv } from '../http/context.ts';
import { readJsonBody } from '../http/json-body.ts';
import { booleanField, type JsonObject } from '../openai/fields.ts';

const BODY_LIMIT_BYTES = 64 << 10;
const PATH_ISSUES: ReadonlySet<string> = new Set([
  'adapter_unreadable',
  'adapter_config_missing',
  'adapter_weights_missing',
]);

export interface RuntimeLoraDeps {
  readonly backend: () => Backend;
  readonly store: () => AdaptersStore | null;
  /** The directory whose adapters may be loaded. */
  readonly root: string;
  readonly limits: PushLimits;
}

/** A refusal as vLLM writes it. */
class Refusal extends Error {
  readonly status: 400 | 404 | 503;
  readonly type: string;

  constructor(status: 400 | 404 | 503, type: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/**
 * vLLM's `POST /v1/load_lora_adapter`, with its bodies and answers: `lora_path` is a directory inside `root`, and the
 * adapter is for everybody. Loading in place gives the name its next version; requests that run keep theirs.
 */
export function loadLoraRoute({ backend, store, root, limits }: RuntimeLoraDeps) {
  return answer(async (body) => {
    const [name, path] = [text(body, 'lora_name'), text(body, 'lora_path')];
    if (name === '' || path === '') {
      throw new Refusal(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
    }
    const base = backend().base?.id;
    if (name === base || name === 'base') {
      throw new Refusal(
        400,
        'InvalidUserInput',
        `The lora adapter '${name}' conflicts with a served base model.`,
      );
    }
    const open = opened(store);
    if (!booleanField(body, 'load_inplace') && (await backend().find(name, OPERATOR)) !== null) {
      const message =
        `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set ` +
        "'load_inplace' to True.";
      throw new Refusal(400, 'InvalidUserInput', message);
    }
    const notFound = new Refusal(
      404,
      'NotFoundError',
      `Loading lora ${name} failed: No adapter found for ${path}`,
    );
    const directory = await inside(root, path);
    if (directory === null) throw notFound;
    try {
      const source = { kind: 'directory', path: directory } as const;
      await open.push({ name, directory, root, source, limits }, OPERATOR);
    } catch (error) {
      if (error instanceof AdapterError && PATH_ISSUES.has(error.code)) throw notFound;
      if (error instanceof AdapterError || error instanceof StoreError) {
        throw new Refusal(400, 'BadRequestError', error.message);
      }
      throw error;
    }
    await open.grant(name, { kind: 'tenant', grantee: EVERYONE }, OPERATOR);
    return `Success: LoRA adapter '${name}' added successfully.`;
  });
}

/** vLLM's `POST /v1/unload_lora_adapter` */
export function unloadLoraRoute({ store }: RuntimeLoraDeps) {
  return answer(async (body) => {
    const name = text(body, 'lora_name');
    if (name === '') {
      const message = "'lora_name' needs to be provided to unload a LoRA adapter.";
      throw new Refusal(400, 'InvalidUserInput', message);
    }
    try {
      await opened(store).remove(name, OPERATOR);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw new Refusal(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
    }
    return `Success: LoRA adapter '${name}' removed successfully.`;
  });
}

function answer(work: (body: JsonObject) => Promise<string>) {
  return async (c: Context<GatewayEnv>): Promise<Response> => {
    const body = await readJsonBody(c, BODY_LIMIT_BYTES);
    try {
      return c.body(await work(body), 200);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { status, type, message } = error;
      return c.json({ error: { message, type, param: null, code: status } }, status);
    }
  };
}

function opened(store: () => AdaptersStore | null): AdaptersStore {
  const open = store();
  if (open === null) throw new Refusal(503, 'ServiceUnavailable', 'The server is starting.');
  return open;
}

function text(body: JsonObject, field: string): string {
  const value = body[field];
  return typeof value === 'string' ? value : '';
}

/** The real path of something inside a directory, or null where it is elsewhere or nowhere. */
async function inside(root: string, path: string): Promise<string | null> {
  const realRoot = await realpath(root).catch(() => null);
  const real = await realpath(isAbsolute(path) ? path : join(resolve(root), path)).catch(() => null);
  if (realRoot === null || real === null) return null;
  const below = relative(realRoot, real);
  return below === '' || below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below) ? null : real;
}
