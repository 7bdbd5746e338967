// From the camera to the screen: how late the picture is that a viewer sees over WebRTC, read off its pixels; and from the
// click to the first picture. Chromium goes live from the studio or ffmpeg publishes, and Chromium watches.
// `npm run glass [-- NAME…]`; BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CAMERA, openBrowser, pagesFromDist } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { CODE, FPS, installCamera, installReader, publishCoded, readFrames } from './coded.mjs';
import { publish, startServer, until } from './server.mjs';
import { median, openViewer } from './viewer.mjs';

/** Further behind than this nobody would call it live. How late it is depends on the machine, and is told. */
const LATE_MAX_MS = 500;
const MEASURED_S = 6;
const FRAMES_MIN = 60;
const VISITS = 5;

const server = await startServer({ settings: { 'https.listen': '' } });
const { admin } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8'));
const browser = await openBrowser(CAMERA);
/** What a case leaves behind. */
const left = [];

async function pageIn(within, at = server) {
  const context = await within.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  left.push(() => context.close());
  await pagesFromDist(context);
  const page = await openViewer(context);
  await page.addInitScript(installReader, CODE);
  return Object.assign(page, { open: (path) => page.goto(at.url + path) });
}

/** Goes live from the studio with a camera that shows the time. */
async function clockCamera(size) {
  const page = await pageIn(browser);
  const camera = { 480: { width: 854, height: 480 }, 720: { width: 1280, height: 720 } }[size];
  await page.addInitScript(installCamera, { ...CODE, fps: FPS, camera });
  await page.addInitScript((chosen) => {
    localStorage.setItem('barrage.signed_in', 'yes');
    localStorage.setItem('barrage.camera', JSON.stringify({ size: chosen }));
  }, size);
  const answer = await page.request.post(`${server.url}/api/v1/session`, { data: admin, headers: { origin: server.url } });
  assert.equal(answer.status(), 200, await answer.text());
  await page.open('/studio/camera');
  await page.getByRole('button', { name: 'Turn on the camera', exact: true }).click();
  await page.waitForSelector('.camera[data-phase=ready]');
  await page.getByRole('button', { name: 'Go live', exact: true }).click();
  await page.waitForSelector('.camera[data-phase=live]', { timeout: 20_000 });
  return camera;
}

/** How late a viewer's pictures are, by the time on them, once the browser holds as few as it does. */
async function seen({ width, height }) {
  await server.isLive();
  const page = await pageIn(browser);
  await page.addInitScript(installReader, { ...CODE, width, height });
  await page.open(`/@${server.handle}`);
  await page.playsOver('webrtc');
  await until('the whole picture', async () => (await page.media()).width === width, 20_000);
  await page.measured();
  const { shown, told } = await page.evaluate(readFrames, MEASURED_S);
  const late = [...shown].sort((a, b) => a - b);
  assert.ok(late.length >= FRAMES_MIN, `${late.length} pictures read`);
  assert.ok(median(late) <= LATE_MAX_MS, `${median(late)} ms behind`);
  page.clean();
  return `${late.length} pictures: ${median(late)} ms behind in the middle, ${late[Math.floor(late.length * 0.95)]} ms at most for 95 %; the page says ${median(told)} ms`;
}

const cases = {
  async 'a camera of 480 lines in the studio, on a viewer’s screen'() {
    return seen(await clockCamera('480'));
  },

  async 'a camera of 720 lines in the studio, on a viewer’s screen'() {
    return seen(await clockCamera('720'));
  },

  async 'what ffmpeg publishes over RTMP, on a viewer’s screen'() {
    const encoder = publishCoded(server);
    left.push(() => encoder.stop());
    return seen(CODE);
  },

  async 'from the click on a channel to its first picture, at a first visit'() {
    const encoder = publish(server);
    left.push(() => encoder.stop());
    await server.isLive();
    const took = [];
    for (let n = 0; n < VISITS; n += 1) {
      const fresh = await openBrowser();
      try {
        const page = await pageIn(fresh);
        await page.open('/');
        await page.locator('a.tile').waitFor();
        await page.waitForLoadState('networkidle');
        await page.evaluate(notePicture);
        await page.locator('a.tile').click();
        took.push(await page.evaluate(() => globalThis.pictured));
        await page.playsOver('webrtc');
        page.clean();
      } finally {
        await fresh.close();
      }
    }
    return `${took.join(', ')} ms; ${median(took)} ms in the middle`;
  },

  async 'from the address of a room to its first picture, at a first visit'() {
    const encoder = publish(server);
    left.push(() => encoder.stop());
    await server.isLive();
    const took = [];
    for (let n = 0; n < VISITS; n += 1) {
      const fresh = await openBrowser();
      try {
        const page = await pageIn(fresh);
        await page.addInitScript(notePicture, { from: 0 });
        await page.open(`/@${server.handle}`);
        took.push(await page.evaluate(() => globalThis.pictured));
        await page.playsOver('webrtc');
        page.clean();
      } finally {
        await fresh.close();
      }
    }
    return `${took.join(', ')} ms; ${median(took)} ms in the middle`;
  },
};

/** In the page: how long it takes until a picture is there, from the next click, or from the page's beginning on. */
function notePicture({ from = null } = {}) {
  globalThis.pictured = new Promise((resolve) => {
    const look = (began) => {
      const video = document.querySelector('.player video');
      if (video?.videoWidth > 0 && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) resolve(Math.round(performance.now() - began));
      else requestAnimationFrame(() => look(began));
    };
    if (from === null) addEventListener('click', () => look(performance.now()), { capture: true, once: true });
    else look(from);
  });
}

const failed = await runCases(cases, {
  about: () => lastLines('server', server.log()),
  async after() {
    for (const clear of left.splice(0).reverse()) await clear();
    await server.isOffline();
  },
});
await browser.close();
assert.equal(await server.terminate(), 0, 'the server ends in order');
process.exit(failed === 0 ? 0 : 1);
