// A streamer with OBS Studio and viewers with Chromium and Firefox: values copied from the studio page, pictures over http and
// https, and what OBS tells its user when it is not let in or has to go. `npm run obs [-- NAME…]`; BARRAGE_BIN names another binary.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBrowser } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { openFirefox } from './firefox.mjs';
import { publish, startServer, until } from './server.mjs';
import { makeClip, openObs, openScreen } from './studio.mjs';
import { openViewer } from './viewer.mjs';

/** As its profile here says. */
const SIZE = { width: 640, height: 360 };

const directory = mkdtempSync(join(tmpdir(), 'barrage-obs-clip-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const clip = join(directory, 'clip.mp4');
makeClip(clip);

const server = await startServer({ settings: { 'https.listen': '127.0.0.1:0', 'ingest.grace_ms': '2000' } });
const { admin } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8'));
const chromium = await openBrowser();
const firefox = await openFirefox();
const screen = await openScreen();

/** What a streamer copies from the studio page into OBS. */
async function studioValues() {
  const context = await chromium.newContext({ locale: 'en' });
  const page = await context.newPage();
  await page.goto(`${server.url}/studio`);
  for (const name of ['handle', 'password']) await page.locator(`[name=${name}]`).fill(admin[name]);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('button', { name: /^Show the key/ }).click();
  const [url, key] = await page.locator('dd code').allInnerTexts();
  return { page, values: { server: url.trim(), key: key.trim() }, close: () => context.close() };
}

/**
 * Somebody watches at `url`, where the picture comes by itself in this way: it moves, and is heard. Gives how late it is, and
 * what the page says of the way.
 */
async function watchInChromium(url, way) {
  const context = await chromium.newContext({ locale: 'en', ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
  const page = await openViewer(context);
  await page.goto(url);
  await page.playsOver(way);
  await page.plays({ ...SIZE });
  const delay_ms = Number(await page.attribute('data-delay-ms'));
  const told = await page.locator('.delay-menu .what').getAttribute('aria-label');
  // An answer that says no is no trouble.
  page.clean({ refused: way !== 'webrtc' });
  await context.close();
  return { delay_ms, told };
}

/** The same in the other browser, which does not tell whether it is heard. */
async function watchInFirefox(url, way) {
  const page = await firefox.newPage();
  await page.goto(url);
  const look = () =>
    page.evaluate(() => {
      const video = document.querySelector('video');
      const shown = document.querySelector('[data-state]');
      return {
        state: shown?.getAttribute('data-state'),
        protocol: shown?.getAttribute('data-protocol'),
        delay_ms: Number(shown?.getAttribute('data-delay-ms')),
        told: document.querySelector('.delay-menu .what')?.getAttribute('aria-label'),
        frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
        time: video?.currentTime ?? 0,
        width: video?.videoWidth ?? 0,
        height: video?.videoHeight ?? 0,
      };
    });
  let from;
  const now = await until(`the picture plays at ${url}`, async () => {
    const now = await look();
    if (now.state !== 'playing') return false;
    if (!from || now.frames < from.frames || now.time < from.time) from = now;
    return now.frames >= from.frames + 60 && now.time >= from.time + 2 && now;
  }, 40_000).catch(async (error) => {
    throw new Error(`${error.message}; it shows ${JSON.stringify(await look())}`);
  });
  await page.close();
  assert.deepEqual([now.width, now.height, now.protocol], [SIZE.width, SIZE.height, way]);
  return now;
}

/** Whether pictures with B-frames are made anew, as the streamer chooses in the studio. */
async function allow(anew) {
  const { page, close } = await studioValues();
  await page.goto(`${server.url}/studio/channel`);
  await page.getByLabel(anew ? 'Make the pictures anew while somebody watches' : 'Send those viewers to HLS').check();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText(/^Saved\./).waitFor();
  await close();
}

const isLive = () => until('the channel is live', async () => (await server.live())?.state === 'live' && server.live(), 30_000);
const isOffline = () => until('the channel is offline', async () => (await server.live()) === null, 30_000);
const secureRoom = () => server.secure + new URL(server.room).pathname;

/** What OBS's picture settings make, where it is watched, and what the page says of the way there. */
async function goesLive({ preset, codec, rooms, advice = null }) {
  const studio = await studioValues();
  const began = performance.now();
  const obs = openObs({ screen, clip, preset, ...studio.values });
  try {
    await isLive();
    const took = Math.round(performance.now() - began);
    await studio.page.waitForSelector('.monitor[data-live=live]', { timeout: 20_000 });
    const shown = [];
    for (const [name, watch, url, way, says] of rooms) {
      const { delay_ms, told } = await watch(url, way);
      assert.match(told, says);
      shown.push(`${name} ${delay_ms} ms`);
    }
    const advised = studio.page.getByText('B-frames keep low-delay viewers away');
    if (advice) {
      await advised.waitFor();
      await studio.page.getByText(advice).waitFor();
    } else assert.equal(await advised.count(), 0);
    const live = await until('its pictures are measured', async () => {
      const now = await server.live();
      return now?.video && now.audio && now;
    });
    assert.match(live.video.codec, codec);
    assert.match(live.encoder, /libobs/);
    assert.equal(live.dropped_frames, 0);
    return { obs, note: `live ${took} ms after OBS's start; behind: ${shown.join(', ')}` };
  } finally {
    await obs.close();
    await studio.close();
    await isOffline();
  }
}

const cases = {
  async 'OBS with the values of the studio page, without B-frames, is seen and heard over WebRTC, and in Firefox over LL-HLS'() {
    const { note } = await goesLive({
      preset: 'ultrafast',
      codec: /^avc1\.42/,
      rooms: [
        ['Chromium over http', watchInChromium, server.room, 'webrtc', /WebRTC$/],
        // Debian's Firefox has no H.264 over WebRTC.
        ['Firefox over https', watchInFirefox, secureRoom(), 'll-hls', /LL-HLS\. Your browser cannot play this stream’s codec over WebRTC\.$/],
      ],
    });
    return note;
  },

  async 'with the settings it comes with (veryfast, High profile, B-frames) over LL-HLS, and its streamer is told what helps'() {
    const { obs, note } = await goesLive({
      preset: 'veryfast',
      codec: /^avc1\.64/,
      rooms: [
        ['Firefox over http', watchInFirefox, server.room, 'll-hls', /LL-HLS\. The streamer’s encoder uses B-frames/],
        ['Chromium over https', watchInChromium, secureRoom(), 'll-hls', /LL-HLS\. The streamer’s encoder uses B-frames/],
      ],
      advice: /In OBS: Settings → Output → Tune → zerolatency, or B-frames → 0\. Or let the server make the pictures anew/,
    });
    assert.match(obs.log(), /preset: veryfast/);
    return note;
  },

  async 'with the same settings over WebRTC, made anew, where its streamer lets the server'() {
    await allow(true);
    try {
      const { obs, note } = await goesLive({
        preset: 'veryfast',
        codec: /^avc1\.64/,
        rooms: [['Chromium over http', watchInChromium, server.room, 'webrtc', /WebRTC\. The server makes the pictures anew/]],
      });
      assert.match(obs.log(), /preset: veryfast/);
      return note;
    } finally {
      await allow(false);
    }
  },

  async 'a wrong key is told in words'() {
    const { values, close } = await studioValues();
    await close();
    const obs = openObs({ screen, clip, preset: 'ultrafast', server: values.server, key: `${values.key}x` });
    await obs.says('NetStream.Publish.BadName (This stream key is not valid. Copy it again from your studio page.)', 20_000);
    // -3 is “Could not access the specified channel or stream key”, which its dialog says.
    await obs.says(/Connection to rtmp:\S+ failed: -3/, 10_000);
    assert.equal(await server.live(), null);
    await obs.close();
  },

  async 'a second publisher is refused in words'() {
    const { values, close } = await studioValues();
    await close();
    const first = publish(server);
    await isLive();
    const obs = openObs({ screen, clip, preset: 'ultrafast', ...values });
    await obs.says(/NetStream\.Publish\.\w+ \(/, 20_000);
    await obs.says(/Connection to rtmp:\S+ failed: -3/, 10_000);
    const words = /NetStream\.Publish\.\w+ \((.*)\)/.exec(obs.log())[1];
    await obs.close();
    await first.stop();
    await isOffline();
    return `“${words}”`;
  },

  async 'one who is replaced is told so, and does not come back to replace the other'() {
    const { values, page, close } = await studioValues();
    await page.request.patch(`${server.url}/api/v1/channels/${server.handle}`, {
      data: { second_publisher: 'replace' },
      headers: { 'sec-fetch-site': 'same-origin' },
    });
    await close();
    // As it is set when nobody touches it, only sooner.
    const obs = openObs({ screen, clip, preset: 'ultrafast', reconnects: true, ...values });
    const { broadcast_id: before } = await isLive();
    const second = publish(server);
    await obs.says('Disconnected from rtmp', 20_000);
    await until('the other one publishes', async () => {
      const live = await server.live();
      return live?.state === 'live' && live.encoder?.startsWith('Lavf');
    });
    await obs.says('NetStream.Publish.BadName (This channel is already live from another encoder.)', 20_000);
    const live = await server.live();
    assert.equal(live.broadcast_id, before, 'it is the same broadcast');
    assert.match(live.encoder, /^Lavf/);
    await obs.close();
    await second.stop();
  },
};

const failed = await runCases(cases, { about: () => lastLines('server', server.log()) });
await screen.close();
await firefox.close();
await chromium.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
