import { defineConfig } from 'vite';

/** Where a gateway runs while the dashboard is worked on: `POLYLORA_URL=http://127.0.0.1:8080 npm run dev`. */
const gateway = process.env.POLYLORA_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  root: import.meta.dirname,
  base: '/admin/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // Only files under /admin/assets are served beside index.html, and the content security policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Those that have light-dark(), which the theme is made of.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    reportCompressedSize: false,
  },
  server: {
    proxy: Object.fromEntries(['/admin/v1', '/admin/session', '/v1'].map((path) => [path, gateway])),
  },
});
