import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['polylora-source', 'import', 'node', 'default'] },
  ssr: { resolve: { conditions: ['polylora-source', 'import', 'node', 'default'] } },
  test: {
    include: ['{engine,adapters-store,gateway}/**/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
  },
});
