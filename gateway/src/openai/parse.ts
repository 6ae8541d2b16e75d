import { z } from 'zod';
import type { ApiError } from '../errors.ts';
import { refusalOf } from './refusal.ts';

/**
 * A client's value in the shape of a schema.
 *
 * Zod stops at the first problem, and looks at an array's length before its elements, so that a body of a million wrong
 * values costs no more than one. Its public `safeParse` would find and describe all of them.
 *
 * @throws ApiError with OpenAI's code, message and param for the first field that is wrong
 */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const payload = run(schema, value);
  if (payload.issues.length > 0) throw refused(schema, payload.issues, value);
  return payload.value as z.output<S>;
}

function refused(schema: z.ZodType, issues: readonly z.core.$ZodRawIssue[], value: unknown): ApiError {
  return refusalOf(issues, value, schema, run);
}

function run(schema: z.core.$ZodType, value: unknown): z.core.ParsePayload {
  const context: z.core.ParseContextInternal = { async: false, abortEarly: true };
  const payload = schema._zod.run({ value, issues: [] }, context);
  if (payload instanceof Promise) throw new z.core.$ZodAsyncError();
  return payload;
}
