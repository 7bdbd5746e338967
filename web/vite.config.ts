import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

/** Where `npm run dev` finds the API and the media. */
const SERVER = process.env.BARRAGE_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // Every asset is a file of its own with a hash in its name: a strict CSP needs no data: URIs.
    assetsInlineLimit: 0,
    target: ['chrome111', 'firefox114', 'safari16.4'],
    // hls.js alone is above Vite's 500 kB; it is loaded by the room page only.
    chunkSizeWarningLimit: 640,
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      '/api': SERVER,
      '/hls': SERVER,
      '/whep': SERVER,
      '/whip': SERVER,
      '/webrtc': SERVER,
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
  },
});
