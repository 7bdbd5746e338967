// How late the picture is: frames whose pixels carry the time at which they were sent, read back from the video element
// in Chromium. A measurement, for a machine that has nothing else to do. `npm run latency [-- SECONDS]`

import { openBrowser } from './browser.mjs';
import { ENCODE, ffmpeg, publish, sleep, SOUND, startServer, until } from './server.mjs';

const SECONDS = Number(process.argv[2] ?? 25);
const SETTLE_S = 5;
const ENCODER_S = 8;
const FIRST_PARTS = 5;
const FPS = 30;
const WIDTH = 640;
const HEIGHT = 360;
/** So many frames until ffmpeg reads steadily. */
const BEGINNING = 5;
/** 32 bits of time, then 8 of checksum, in blocks that survive an encoder. */
const COLUMNS = 10;
const ROWS = 4;
const CODE = { columns: COLUMNS, rows: ROWS, width: WIDTH, height: HEIGHT };

const server = await startServer();
const first = await firstParts();
const encoder = await encoderDelays();
const { shown, told, target_ms, part_ms, frames } = await shownDelays();
await server.terminate();

const rows = {
  'frame sent → leaves ffmpeg': encoder,
  'frame sent → picture shown': shown,
  'what the page shows as delay': told,
  'first keyframe → first part': first,
};
console.log(`${WIDTH} × ${HEIGHT} at ${FPS}/s, parts of ${part_ms} ms, PART-HOLD-BACK ${target_ms} ms; ${shown.length} of ${frames} shown frames read`);
console.log(['milliseconds'.padEnd(30), ...['p50', 'p95', 'max', 'samples'].map((name) => name.padStart(8))].join(''));
for (const [name, values] of Object.entries(rows)) {
  const { p50, p95, max, samples } = summary(values);
  console.log([name.padEnd(30), ...[p50, p95, max, samples].map((value) => String(value).padStart(8))].join(''));
}
const figures = Object.entries({ encoder, shown, told, first }).map(([name, values]) => [name, summary(values)]);
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

async function shownDelays() {
  const publisher = ffmpeg([...codedInput(), ...['-f', 'flv', server.publishUrl]], { stdin: 'pipe' });
  const stop = sendFrames(publisher);
  await until('the channel is live', async () => (await server.live())?.state === 'live', 20_000);
  const browser = await openBrowser();
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en' });
  await page.goto(server.room);
  await page.waitForSelector('[data-state="playing"]', { state: 'attached', timeout: 20_000 });
  await sleep(SETTLE_S * 1000);
  const result = await page.evaluate(readFrames, { code: CODE, seconds: SECONDS });
  const playlist = await playlistOf(server);
  await browser.close();
  stop();
  await publisher.stop();
  return { ...result, ...playlist };
}

async function playlistOf({ text, handle }) {
  const entry = await text(`/hls/${handle}/index.m3u8`);
  const address = entry.split('\n').find((line) => line.endsWith('video.m3u8'));
  const playlist = await text(new URL(address, `http://server/hls/${handle}/`).pathname);
  const ms = (name) => Math.round(1000 * Number(new RegExp(`${name}=([\\d.]+)`).exec(playlist)?.[1]));
  return { part_ms: ms('PART-TARGET'), target_ms: ms('PART-HOLD-BACK') };
}

function codedInput() {
  const video = ['-f', 'rawvideo', '-pixel_format', 'gray', '-video_size', `${WIDTH}x${HEIGHT}`, '-framerate', String(FPS), '-i', 'pipe:0'];
  return ['-fflags', 'nobuffer', '-probesize', '32', ...video, ...SOUND, ...ENCODE.video, ...ENCODE.audio];
}

/**
 * One frame each 1/FPS s; one that is late is followed by the next at its own time. ffmpeg needs a moment to begin: what it
 * does not take at once until then is not sent at all, as a camera would not, instead of in one burst.
 */
function sendFrames(publisher, note = () => {}) {
  const began = performance.now();
  const pipe = publisher.child.stdin;
  pipe.on('error', () => {});
  let next = 0;
  let sent = 0;
  let timer;
  const send = () => {
    while (performance.now() - began >= (next * 1000) / FPS) {
      next += 1;
      if (pipe.writableLength > 0 && sent < BEGINNING) continue;
      sent += 1;
      const stamp = Date.now();
      note(stamp);
      pipe.write(codedFrame(stamp));
    }
    timer = setTimeout(send, (next * 1000) / FPS - (performance.now() - began));
  };
  send();
  return () => {
    clearTimeout(timer);
    pipe.end();
  };
}

function codedFrame(stamp) {
  const low = stamp % 2 ** 32;
  const bits = [...low.toString(2).padStart(32, '0'), ...checksum(low).toString(2).padStart(8, '0')];
  const frame = Buffer.alloc(WIDTH * HEIGHT);
  const across = WIDTH / COLUMNS;
  const down = HEIGHT / ROWS;
  for (let row = 0; row < ROWS; row += 1) {
    const line = Buffer.alloc(WIDTH);
    for (let column = 0; column < COLUMNS; column += 1) {
      line.fill(bits[row * COLUMNS + column] === '1' ? 235 : 16, column * across, (column + 1) * across);
    }
    for (let y = row * down; y < (row + 1) * down; y += 1) line.copy(frame, y * WIDTH);
  }
  return frame;
}

function checksum(low) {
  return (low ^ (low >>> 8) ^ (low >>> 16) ^ (low >>> 24) ^ 0x5a) & 0xff;
}

/** In the page: reads every frame that is shown, and what the page says of its delay. */
function readFrames({ code: { columns, rows, width, height }, seconds }) {
  const video = document.querySelector('video');
  const player = document.querySelector('[data-state]');
  const canvas = document.createElement('canvas');
  // A pixel for each block would average over its edges; four by four leaves the middle clean.
  canvas.width = columns * 4;
  canvas.height = rows * 4;
  const drawing = canvas.getContext('2d', { willReadFrequently: true });
  const shown = [];
  const told = [];
  let frames = 0;
  const until = performance.now() + seconds * 1000;
  return new Promise((resolve) => {
    const read = () => {
      const now = Date.now();
      frames += 1;
      drawing.drawImage(video, 0, 0, width, height, 0, 0, canvas.width, canvas.height);
      const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
      let low = 0;
      let check = 0;
      for (let i = 0; i < columns * rows; i += 1) {
        const x = (i % columns) * 4 + 2;
        const y = Math.floor(i / columns) * 4 + 2;
        const bit = data[(y * canvas.width + x) * 4] > 127 ? 1 : 0;
        if (i < 32) low = (low * 2 + bit) % 2 ** 32;
        else check = check * 2 + bit;
      }
      if (check === ((low ^ (low >>> 8) ^ (low >>> 16) ^ (low >>> 24) ^ 0x5a) & 0xff)) {
        shown.push((((now % 2 ** 32) - low) + 2 ** 32) % 2 ** 32);
        told.push(Number(player.dataset.delayMs));
      }
      if (performance.now() < until) video.requestVideoFrameCallback(read);
      else resolve({ shown, told, frames });
    };
    video.requestVideoFrameCallback(read);
  });
}
