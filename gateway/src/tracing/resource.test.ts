import { afterEach, describe, expect, it, vi } from 'vitest';
import { VERSION } from '../version.ts';
import { serviceResource } from './resource.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('what spans and metrics are of', () => {
  it('is this server, the same one for all of them', () => {
    expect(serviceResource().attributes).toEqual({
      'service.name': 'polylora',
      'service.version': VERSION,
      'service.instance.id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(serviceResource().attributes).toEqual(serviceResource().attributes);
  });

  it('is what the environment calls it, too', () => {
    vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'deployment.environment.name=staging,service.instance.id=pod-7');
    vi.stubEnv('OTEL_SERVICE_NAME', 'llm-gateway');
    expect(serviceResource().attributes).toEqual({
      'service.name': 'llm-gateway',
      'service.version': VERSION,
      'service.instance.id': 'pod-7',
      'deployment.environment.name': 'staging',
    });
  });
});
