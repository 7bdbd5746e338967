// Serves dist/ with canned API answers and a live test broadcast, for looking at the pages and for the tests here.
// `npm run fixture` shows one live channel at http://127.0.0.1:4180/@barrage.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Broadcast } from './broadcast.mjs';
import { AUDIO, makeMedia, VIDEO } from './media.mjs';

/** WEB_DIST names another directory of pages. */
const DIST = process.env.WEB_DIST ?? fileURLToPath(new URL('../dist/', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
// Nothing inline: what the server will send one day must work today.
const CSP = "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

export const CHANNEL = {
  id: '0199c0de-0000-7000-8000-000000000001',
  handle: 'barrage',
  name: 'Barrage',
  title: 'Evening set: synth and rain',
  category: 'Music',
  tags: ['synth', 'live', '雨夜'],
  language: 'en',
  second_publisher: 'refuse',
  transcodes: false,
};

export function streamOf(broadcast, changes = {}) {
  const uptime_ms = Date.now() - broadcast.startedAt;
  return {
    broadcast_id: broadcast.id,
    channel: CHANNEL,
    title: 'Evening set: synth and rain',
    state: broadcast.publishing ? 'live' : 'waiting',
    started_at: new Date(broadcast.startedAt).toISOString(),
    uptime_ms,
    protocol: 'rtmp',
    video: { ...VIDEO, gop_s: undefined, bitrate_bps: 1_500_000, keyframe_interval_ms: 2_000, frames: 30, dropped_frames: 0 },
    audio: broadcast.hasAudio ? { ...AUDIO, bitrate_bps: 96_000 } : null,
    dropped_frames: 3,
    problems: [],
    viewers: { hls: 120, flv: 6, rtmp: 2, total: 128 },
    playback: { hls: `/hls/${CHANNEL.handle}/index.m3u8`, flv: `/live/${CHANNEL.handle}.flv`, whep_anew: false, sound_alone: [] },
    ...changes,
  };
}

/**
 * `scene` decides the answers and may be changed at any time:
 * `streams()` and `channel(handle)` return a body, `null` for 404, a number for that status, or 'hang';
 * `api(method, path)` returns `[status, body]`, a number for that status, or 'hang', for everything else;
 * `broadcast` is what is played.
 */
export async function startFixture(scene, port = 0) {
  const held = new Set();
  const server = createServer((request, response) => {
    void answer(request, response).catch((error) => {
      response.writeHead(500).end(String(error));
    });
  });

  async function answer(request, response) {
    const url = new URL(request.url ?? '/', 'http://fixture');
    response.setHeader('cache-control', 'no-store');
    if (url.pathname === '/api/v1/streams') return api(response, scene.streams());
    const channel = /^\/api\/v1\/channels\/(\w+)$/.exec(url.pathname);
    if (channel) return api(response, scene.channel(channel[1]));
    if (/^\/api\/v1\/channels\/\w+\/follow$/.test(url.pathname)) return json(response, 200, { followers: 1_284, follows: false });
    if (url.pathname.startsWith('/api/')) return other(response, scene.api?.(request.method, url.pathname) ?? 404);
    const emote = /^\/emotes\/(\d+)$/.exec(url.pathname);
    if (emote) return void response.writeHead(200, { 'content-type': TYPES['.svg'] }).end(emoteOf(Number(emote[1])));
    const media = /^\/hls\/\w+\/(.+)$/.exec(url.pathname);
    if (media) {
      const found = scene.broadcast && !scene.hlsDown ? await scene.broadcast.answer(media[1], url.searchParams, (done) => response.on('close', done)) : null;
      if (!found) return void response.writeHead(404).end();
      return void response.writeHead(200, { 'content-type': found.type }).end(found.body);
    }
    if (url.pathname === '/whip') return problem(response, 409, 'taken');
    if (url.pathname.startsWith('/whep/')) return problem(response, 406, 'b_frames');
    if (url.pathname.startsWith('/live/')) return void response.writeHead(404).end();
    await page(url.pathname, response);
  }

  function api(response, body) {
    if (body === 'hang') return void held.add(response);
    if (typeof body === 'number') return json(response, body, { error: { code: 'internal', message: 'Something broke.' } });
    if (body === null) return json(response, 404, { error: { code: 'channel_not_found', message: 'No such channel.' } });
    json(response, 200, { server_time_ms: Date.now(), ...body });
  }

  function problem(response, status, code) {
    response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ status, code }));
  }

  function other(response, answer) {
    if (answer === 'hang') return void held.add(response);
    const [status, body] = typeof answer === 'number' ? [answer, { error: { code: 'not_found', message: 'No.' } }] : answer;
    if (body === null) return void response.writeHead(status).end();
    json(response, status, body);
  }

  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      for (const response of held) response.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A face of a colour of its own; the server has PNG. */
function emoteOf(number) {
  const face = `<circle cx="32" cy="32" r="30" fill="hsl(${(number * 67) % 360} 80% 60%)"/><path d="M18 38a15 15 0 0 0 28 0M22 24v4M42 24v4" fill="none" stroke="#222" stroke-width="4" stroke-linecap="round"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">${face}</svg>`;
}

async function page(path, response) {
  const asset = path.startsWith('/assets/');
  const file = join(DIST, asset ? normalize(path) : 'index.html');
  try {
    const body = await readFile(file);
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': CSP }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const broadcast = new Broadcast(makeMedia());
  const fixture = await startFixture(
    {
      broadcast,
      streams: () => ({ streams: [streamOf(broadcast)] }),
      channel: (handle) => (handle === CHANNEL.handle ? { channel: CHANNEL, live: streamOf(broadcast), last_live_at: null } : null),
    },
    4180,
  );
  console.log(`${fixture.url}/  and  ${fixture.url}/@barrage`);
}
