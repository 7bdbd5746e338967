// Going live from the studio in Chromium, whose fake camera shows a clock and beeps once a second: what its streamer does and
// is told, and what viewers get of it. `npm run camera [-- NAME…]`; BARRAGE_BIN names another binary.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CAMERA, openBrowser, pagesFromDist } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { BEHIND, relay } from './relay.mjs';
import { startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

/** A name that is not this machine's own, so that its pages are not trusted without https. */
const ELSEWHERE = 'barrage.test';
const GRACE_MS = 20_000;

const browser = await openBrowser([...CAMERA, '--auto-select-desktop-capture-source=Entire screen', `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1`]);
const SETTINGS = { 'https.listen': '127.0.0.1:0', 'ingest.grace_ms': String(GRACE_MS) };
let server = await startServer({ settings: SETTINGS });
const adminOf = (at) => JSON.parse(readFileSync(join(at.directory, 'first-run.json'), 'utf8')).admin;

/** What a case leaves behind. */
const left = [];

/** The streamer, in the studio. */
async function studio({ at = server, path = '/studio/camera', within = browser } = {}) {
  const context = await within.newContext({ locale: 'en', viewport: { width: 1440, height: 900 } });
  left.push(() => context.close());
  await pagesFromDist(context);
  const page = await openViewer(context);
  const { handle, password } = adminOf(at);
  const data = { handle, password };
  const answer = await page.request.post(`${at.url}/api/v1/session`, { data, headers: { origin: at.url } });
  assert.equal(answer.status(), 200, await answer.text());
  await page.addInitScript(() => localStorage.setItem('barrage.signed_in', 'yes'));
  await page.goto(at.url + path);
  const press = (name) => page.getByRole('button', { name, exact: true }).click();
  return Object.assign(page, {
    press,
    phase: (name, timeout = 20_000) => page.waitForSelector(`.camera[data-phase=${name}]`, { timeout }),
    trouble: (name) => page.waitForSelector(`[data-trouble=${name}]`, { timeout: 20_000 }),
    async goLive() {
      await press('Turn on the camera');
      await page.phase('ready');
      await press('Go live');
      await page.phase('live');
    },
    figure: async (name) => Number.parseFloat(await page.locator(`[data-figure=${name}] .value`).innerText()),
  });
}

async function viewer(delay, at = server) {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  left.push(() => context.close());
  await pagesFromDist(context);
  const page = await openViewer(context, { delay });
  await page.goto(at.room);
  return page;
}

const cases = {
  async 'goes live from the studio, is watched in every way, and ends'() {
    const page = await studio({ path: '/studio' });
    await page.getByRole('link', { name: 'Go live from this browser' }).click();
    await page.press('Turn on the camera');
    await page.phase('ready');
    assert.equal(await server.live(), null, 'nobody sees it yet');
    const level = async () => Number(await page.getByRole('meter', { name: 'Sound level' }).getAttribute('data-level'));
    await until('the beep is seen', async () => (await level()) > 20);
    await until('and the quiet between', async () => (await level()) < 20);
    const picked = await page.locator('[name=camera]').evaluate((select) => select.selectedOptions[0]?.text);
    assert.match(picked, /fake_device/);
    await page.press('Go live');
    await page.phase('live');
    await until('the health is told', async () => (await page.figure('bitrate')) > 0.2 && (await page.figure('fps')) >= 15, 20_000);
    const [near, far] = [await viewer(), await viewer('standard')];
    await near.playsOver('webrtc');
    await until('the whole picture', async () => (await near.media()).width === 1280, 20_000);
    await far.playsOver('ll-hls');
    const { protocol, video, audio } = await server.live();
    assert.deepEqual([protocol, video.width, video.height, Boolean(audio)], ['webrtc', 1280, 720, true]);
    const told = { bitrate: await page.figure('bitrate'), fps: await page.figure('fps'), way: await page.figure('round_trip') };
    await page.press('End the broadcast');
    await page.phase('ready');
    await near.state('offline', 20_000);
    await server.isOffline();
    await page.press('Turn off');
    await page.phase('off');
    page.clean();
    return `${told.bitrate} Mbit/s, ${told.fps} pictures a second, ${told.way} ms there and back; ${video.codec}`;
  },

  async 'goes on while its streamer looks at other pages, and asks before the tab is closed'() {
    const page = await studio();
    await page.goLive();
    const { broadcast_id: before } = await server.live();
    await page.getByRole('link', { name: 'Stream keys' }).click();
    await page.getByRole('heading', { name: 'Stream keys' }).first().waitFor();
    await page.getByRole('link', { name: 'Live', exact: true }).click();
    await page.getByRole('link', { name: 'To your camera' }).click();
    await page.phase('live');
    const asked = page.waitForEvent('dialog');
    const closing = page.close({ runBeforeUnload: true });
    const dialog = await asked;
    assert.equal(dialog.type(), 'beforeunload');
    await dialog.dismiss();
    await closing;
    assert.equal((await server.live()).broadcast_id, before);
    const again = page.waitForEvent('dialog');
    void page.close({ runBeforeUnload: true });
    await (await again).accept();
    await until('it is over at once', async () => (await server.live()) === null, GRACE_MS / 2);
  },

  async 'shares a screen, and another size is seen at once'() {
    const page = await studio();
    await page.press('Share a screen');
    await page.phase('ready');
    await page.getByText('480p').click();
    await page.press('Go live');
    await page.phase('live');
    await until('480 lines', async () => (await server.live())?.video?.height === 480, 20_000);
    await page.press('Turn on the camera');
    await until('the camera', async () => (await server.live())?.video?.width === 854, 20_000).catch(() => undefined);
    const { width, height } = (await server.live()).video;
    await page.press('End the broadcast');
    await page.phase('ready');
    return `camera in ${width} × ${height}`;
  },

  async 'a second window is told that the channel is taken, and what to do'() {
    const first = await studio();
    await first.goLive();
    const second = await studio();
    await second.press('Turn on the camera');
    await second.phase('ready');
    await second.press('Go live');
    await second.trouble('taken');
    await second.getByText('Something else is live on your channel').waitFor();
    await second.getByRole('link', { name: 'Who may take over' }).waitFor();
    await second.phase('ready');
    await first.phase('live');
    await first.press('End the broadcast');
  },

  async 'who ends the broadcast elsewhere ends it here, and it does not begin again'() {
    const page = await studio();
    await page.goLive();
    await page.getByRole('link', { name: 'Live', exact: true }).click();
    await page.getByRole('button', { name: 'End the broadcast' }).first().click();
    await page.getByRole('dialog').getByRole('button', { name: /^End/ }).click();
    await server.isOffline();
    await page.getByRole('link', { name: 'Go live from this browser' }).click();
    await page.phase('ready', 30_000).catch(() => page.phase('off'));
    assert.equal(await server.live(), null);
  },

  async 'the way to the server breaks and comes back: the broadcast goes on by itself'() {
    const shut = await startServer({ settings: { ...SETTINGS, ...BEHIND } });
    left.push(() => shut.terminate());
    const way = await relay(shut);
    left.push(way.close);
    const page = await studio({ at: shut });
    const asked = { POST: 0, PATCH: 0, DELETE: 0 };
    page.on('request', (request) => /\/(whip|webrtc\/[^/]*)$/.test(request.url()) && (asked[request.method()] += 1));
    await page.goLive();
    const { broadcast_id: before } = await shut.live();
    way.break();
    await page.phase('reconnecting', 30_000);
    await until('the server misses it', async () => (await shut.live())?.state !== 'live');
    way.mend();
    const began = performance.now();
    await page.phase('live', 40_000);
    await until('pictures come again', async () => (await shut.live())?.state === 'live');
    assert.equal((await shut.live()).broadcast_id, before);
    assert.equal(asked.POST, 1, 'it went on in its session');
    return `${Math.round(performance.now() - began)} ms after it was mended; ${JSON.stringify(asked)}`;
  },

  async 'the server is killed and comes back: the broadcast goes on by itself'() {
    const page = await studio();
    await page.goLive();
    const { broadcast_id: before } = await server.live();
    await until('it is noted', async () => (await server.live()).uptime_ms > 6_000);
    await server.kill();
    server = await startServer({ before: server, settings: SETTINGS });
    await page.phase('reconnecting', 30_000);
    await page.phase('live', 40_000);
    await until('pictures', async () => (await server.live())?.state === 'live', 20_000);
    const { broadcast_id: after } = await server.live();
    await page.press('End the broadcast');
    assert.equal(after, before, 'it is the same broadcast');
  },

  async 'without https it says so, and where https is'() {
    const context = await browser.newContext({ locale: 'en' });
    left.push(() => context.close());
    const page = await context.newPage();
    const base = `http://${ELSEWHERE}:${server.http}`;
    await page.goto(`${base}/studio/camera`);
    for (const name of ['handle', 'password']) await page.locator(`[name=${name}]`).fill(adminOf(server)[name]);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByText('This page has to be opened over https').waitFor();
    const address = await page.getByRole('link', { name: 'Open it over https' }).getAttribute('href');
    assert.equal(address, `https://${ELSEWHERE}:${new URL(server.secure).port}/studio/camera`);
    const over = await (await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en' })).newPage();
    left.push(() => over.context().close());
    await over.goto(address);
    assert.equal(await over.evaluate(() => isSecureContext), true);
  },

  async 'without a permission it says where to give one'() {
    const strict = await openBrowser(['--use-fake-device-for-media-stream']);
    left.push(() => strict.close());
    const page = await studio({ path: '/studio', within: strict });
    await page.getByRole('link', { name: 'Go live from this browser' }).click();
    await page.press('Turn on the camera');
    await page.trouble('forbidden');
    await page.getByText('Allow it beside the address').waitFor();
    await page.phase('off');
  },

  async 'where WebRTC is off it says so'() {
    const without = await startServer({ settings: { 'https.listen': '', 'webrtc.listen': '' } });
    left.push(() => without.terminate());
    const page = await studio({ at: without });
    await page.getByText('WebRTC is off on this server').waitFor();
  },
};

const failed = await runCases(cases, {
  about: () => lastLines('server', server.log()),
  async after() {
    for (const clear of left.splice(0).reverse()) await clear();
    await server.isOffline();
  },
});
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
