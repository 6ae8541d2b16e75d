import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['polylora-source', 'node'] },
  ssr: { resolve: { conditions: ['polylora-source', 'node'] } },
  test: {
    include: ['{engine,adapters-store,gateway,dashboards}/**/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is polled is mostly another process, on a machine that does other things, too. Where a time is promised a test says it.
    expect: { poll: { timeout: 10_000 } },
    // An engine uses every core: two at once would only slow each other.
    fileParallelism: false,
  },
});
