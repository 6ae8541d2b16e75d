import { AdapterError, SourceError, StoreError } from '@polylora/adapters-store';
import { ApiError } from '../../errors.ts';

/**
 * Tells what the store refused in the API's form.
 * @param part of the adapter that is being looked at
 */
export async function asked(
  answer: () => Promise<Response>,
  part: 'weights' | 'config' = 'weights',
): Promise<Response> {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof StoreError) throw new ApiError(error.code, error.message, error.field);
    if (error instanceof SourceError) throw new ApiError(error.code, error.message, 'source');
    if (error instanceof AdapterError) throw new ApiError('adapter_invalid', error.message, part);
    throw error;
  }
}

/** @throws ApiError while the model is not known */
export function opened<T>(service: T | null): T {
  if (service === null)
    throw new ApiError('engine_unavailable', 'The server is starting. Please try again soon.');
  return service;
}
