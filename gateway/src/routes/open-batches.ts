import type { BatchService } from '../batches/batch-service.ts';
import { ApiError } from '../errors.ts';
import type { GatewayDeps } from './deps.ts';

/** @throws ApiError batches_unavailable */
export function openBatches({ batches, inFlight }: GatewayDeps): BatchService {
  const service = batches();
  if (service !== null) return service;
  if (inFlight.draining) throw new ApiError('shutting_down', 'The server is shutting down.');
  throw new ApiError(
    'batches_unavailable',
    'Files and batches are not available now. Please try again soon.',
  );
}
