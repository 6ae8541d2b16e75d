import { randomUUID } from 'node:crypto';
import {
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions';
import { VERSION } from '../version.ts';

/** One for each start: spans and metrics of a process are of the same service. */
const INSTANCE = randomUUID();

/** What spans and metrics are of: this server, and what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say of it, which count more. */
export function serviceResource(): Resource {
  const own = resourceFromAttributes({
    [ATTR_SERVICE_NAME]: 'polylora',
    [ATTR_SERVICE_VERSION]: VERSION,
    [ATTR_SERVICE_INSTANCE_ID]: INSTANCE,
  });
  return own.merge(detectResources({ detectors: [envDetector] }));
}
