// How late the picture is: frames whose pixels carry the time at which they were sent, read back from the video element
// in Chromium. A measurement, for a machine that has nothing else to do. `npm run latency [-- SECONDS]`

import { openBrowser } from './browser.mjs';
import { CODE, codedInput, FPS, installReader, publishCoded, readFrames, sendFrames } from './coded.mjs';
import { ffmpeg, publish, sleep, startServer, until } from './server.mjs';

const SECONDS = Number(process.argv[2] ?? 25);
const SETTLE_S = 5;
const ENCODER_S = 8;
const FIRST_PARTS = 5;

const server = await startServer();
const first = await firstParts();
const encoder = await encoderDelays();
const { shown, told, target_ms, part_ms, frames } = await shownDelays('standard');
const low = await shownDelays('low');
const webrtc = await shownDelays('auto');
await server.terminate();

const rows = {
  'frame sent → leaves ffmpeg': encoder,
  'frame sent → picture shown': shown,
  'what the page shows as delay': told,
  'the same with low delay: shown': low.shown,
  'and what the page says': low.told,
  'the same over WebRTC: shown': webrtc.shown,
  'and what the page says then': webrtc.told,
  'first keyframe → first part': first,
};
console.log(`${CODE.width} × ${CODE.height} at ${FPS}/s, parts of ${part_ms} ms, PART-HOLD-BACK ${target_ms} ms; ${shown.length} of ${frames} shown frames read`);
console.log(['milliseconds'.padEnd(30), ...['p50', 'p95', 'max', 'samples'].map((name) => name.padStart(8))].join(''));
for (const [name, values] of Object.entries(rows)) {
  const { p50, p95, max, samples } = summary(values);
  console.log([name.padEnd(30), ...[p50, p95, max, samples].map((value) => String(value).padStart(8))].join(''));
}
const figures = Object.entries({ encoder, shown, told, shown_low: low.shown, told_low: low.told, shown_webrtc: webrtc.shown, told_webrtc: webrtc.told, first }).map(([name, values]) => [name, summary(values)]);
console.log(JSON.stringify({ at: new Date().toISOString(), part_ms, target_ms, ...Object.fromEntries(figures) }));
process.exit(0);

function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN);
  return { p50: at(0.5), p95: at(0.95), max: at(1), samples: sorted.length };
}

/** The server's own measurement, for some broadcasts. */
async function firstParts() {
  const values = [];
  let before = 0;
  for (let i = 1; i <= FIRST_PARTS; i += 1) {
    const one = publish(server);
    const total = await until('the first part is there', async () => {
      const { sum, count } = firstPartMetric(await server.text('/metrics'));
      return count === i && sum;
    }, 20_000);
    values.push((total - before) * 1000);
    before = total;
    await one.stop();
    await until('the broadcast is over', async () => (await server.live()) === null);
  }
  return values;
}

function firstPartMetric(text) {
  const value = (name) => Number(new RegExp(`^barrage_hls_first_part_seconds_${name}(?:{[^}]*})? (.*)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

/** The share of ffmpeg: the same encoding, its FLV tags timed as they come out. */
async function encoderDelays() {
  const publisher = ffmpeg([...codedInput(), ...['-flush_packets', '1', '-f', 'flv', 'pipe:1']], { stdin: 'pipe', stdout: 'raw' });
  const sent = [];
  const delays = [];
  let rest = Buffer.alloc(0);
  let headerRead = false;
  let seen = 0;
  publisher.child.stdout.on('data', (bytes) => {
    const now = Date.now();
    rest = Buffer.concat([rest, bytes]);
    if (!headerRead && rest.length >= 13) {
      rest = rest.subarray(13);
      headerRead = true;
    }
    while (headerRead && rest.length >= 11) {
      const size = 11 + rest.readUIntBE(1, 3) + 4;
      if (rest.length < size) break;
      // Video that is neither a decoder's set-up nor the end of the stream.
      if (rest[0] === 9 && rest[12] === 1) delays.push(now - sent[seen++]);
      rest = rest.subarray(size);
    }
  });
  const stop = sendFrames(publisher, (stamp) => sent.push(stamp));
  await sleep((SETTLE_S + ENCODER_S) * 1000);
  stop();
  await publisher.stop();
  return delays.slice(SETTLE_S * FPS);
}

async function shownDelays(delay) {
  const publisher = publishCoded(server);
  await until('the channel is live', async () => (await server.live())?.state === 'live', 20_000);
  const browser = await openBrowser();
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en' });
  await page.addInitScript(installReader, CODE);
  await page.addInitScript((chosen) => localStorage.setItem('barrage.delay', chosen), delay);
  await page.goto(server.room);
  await page.waitForSelector('[data-state="playing"]', { state: 'attached', timeout: 20_000 });
  await sleep(SETTLE_S * 1000);
  const result = await page.evaluate(readFrames, SECONDS);
  const playlist = await playlistOf(server);
  await browser.close();
  await publisher.stop();
  await until('the broadcast is over', async () => (await server.live()) === null);
  return { ...result, ...playlist };
}

async function playlistOf({ text, handle }) {
  const entry = await text(`/hls/${handle}/index.m3u8`);
  const address = entry.split('\n').find((line) => line.endsWith('video.m3u8'));
  const playlist = await text(new URL(address, `http://server/hls/${handle}/`).pathname);
  const ms = (name) => Math.round(1000 * Number(new RegExp(`${name}=([\\d.]+)`).exec(playlist)?.[1]));
  return { part_ms: ms('PART-TARGET'), target_ms: ms('PART-HOLD-BACK') };
}
