import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Where `npm run dev` finds the API and the media. */
const SERVER = process.env.BARRAGE_URL ?? 'http://127.0.0.1:8080';

/** What a room needs from its first moment on: fetched with every page, so that a click on a channel waits for no code. */
const OF_ROOMS = ['/src/pages/Room.svelte', '/src/lib/player/ladder-engine.ts'];

function preloadRooms(): Plugin {
  return {
    name: 'preload-rooms',
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle = {} }) {
        const files = new Set<string>();
        const add = (file: string): void => {
          const chunk = bundle[file];
          if (chunk?.type !== 'chunk' || html.includes(file) || files.has(file)) return;
          files.add(file);
          chunk.imports.forEach(add);
        };
        for (const [file, chunk] of Object.entries(bundle)) {
          if (chunk.type === 'chunk' && OF_ROOMS.some((path) => chunk.facadeModuleId?.endsWith(path))) add(file);
        }
        return [...files].map((file) => ({
          tag: 'link',
          attrs: { rel: 'modulepreload', crossorigin: true, fetchpriority: 'low', href: `/${file}` },
          injectTo: 'head' as const,
        }));
      },
    },
  };
}

export default defineConfig({
  plugins: [svelte(), preloadRooms()],
  build: {
    // Every asset is a file of its own with a hash in its name: a strict CSP needs no data: URIs.
    assetsInlineLimit: 0,
    // All of it compresses to less than one page's code; a page that is loaded later then waits for no style.
    cssCodeSplit: false,
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
