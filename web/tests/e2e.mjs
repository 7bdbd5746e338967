// The whole way: the real server, ffmpeg as the publisher, the pages in Chromium as a viewer over LL-HLS sees them.
// `npm run e2e [-- NAME…]`; BARRAGE_BIN names another binary.

import assert from 'node:assert/strict';
import { openBrowser } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { publish, sleep, startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

/** This much delay is shown at most, in the middle of a second's worth of readings. */
const DELAY_MAX_MS = 2_000;
const DEVICES = {
  desktop: { viewport: { width: 1440, height: 900 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
const LANGUAGES = { en: 'Live now', 'zh-CN': '正在直播' };

const cases = {
  async 'an offline room goes live by itself, with picture and sound'({ view, publisher }) {
    const page = await view();
    await page.state('offline');
    const began = performance.now();
    await publisher();
    await page.state('playing', 30_000);
    const took = Math.round(performance.now() - began);
    await page.plays({ width: 640, height: 360 });
    assert.equal(await page.attribute('data-protocol'), 'll-hls');
    const delay = await page.delayWithin(DELAY_MAX_MS);
    await page.mouse.move(300, 300);
    await page.mouse.move(320, 310);
    const badge = await page.locator('.controls .badge').innerText();
    assert.match(badge, /^Live · \d/);
    const live = await server.live();
    assert.equal(live.state, 'live');
    assert.ok(live.viewers.total >= 1, `viewers ${JSON.stringify(live.viewers)}`);
    const { dropped, corrupted } = await page.media();
    assert.equal(corrupted, 0);
    page.clean();
    return `picture ${took} ms after ffmpeg's start, ${delay} ms behind, badge “${badge}”, ${dropped} frames dropped`;
  },

  async 'a viewer who comes with the first part gets the picture'({ view, publisher }) {
    await publisher();
    await server.isLive();
    const began = performance.now();
    const page = await view();
    await page.state('playing', 15_000);
    const took = Math.round(performance.now() - began);
    await page.plays({ width: 640, height: 360 });
    const delay = await page.delayWithin(DELAY_MAX_MS);
    page.clean();
    return `picture after ${took} ms, ${delay} ms behind`;
  },

  async 'a publisher killed and back within its grace plays on without a click'({ view, publisher }) {
    const killed = await publisher();
    const page = await view();
    await page.state('playing', 30_000);
    await page.plays();
    const { broadcast_id: before } = await server.live();
    await killed.kill();
    const began = performance.now();
    await page.state('waiting', 15_000);
    const noticed = Math.round(performance.now() - began);
    await page.getByText('The broadcast is interrupted').first().waitFor();
    // Longer than what is buffered and than one blocking request of the player.
    await sleep(12_000);
    assert.equal((await server.live()).state, 'waiting');
    const back = performance.now();
    await publisher();
    await page.state('playing', 30_000);
    const took = Math.round(performance.now() - back);
    await page.plays();
    const delay = await page.delayWithin(DELAY_MAX_MS);
    assert.equal((await server.live()).broadcast_id, before, 'it is the same broadcast');
    page.clean();
    return `told after ${noticed} ms, picture ${took} ms after the new ffmpeg's start, ${delay} ms behind`;
  },

  async 'a broadcast that ends leaves the slate, and the next one plays without a reload'({ view, publisher }) {
    const first = await publisher();
    const page = await view();
    await page.state('playing', 30_000);
    const { broadcast_id: before } = await server.live();
    await first.stop();
    const began = performance.now();
    await page.state('offline', 20_000);
    const left = Math.round(performance.now() - began);
    await page.getByText('Stage is offline').first().waitFor();
    await page.getByText('Last live').first().waitFor();
    await publisher({ size: '854x480' });
    await page.state('playing', 30_000);
    await page.plays({ width: 854, height: 480 });
    assert.notEqual((await server.live()).broadcast_id, before, 'it is another broadcast');
    page.clean();
    return `slate ${left} ms after the end`;
  },

  async 'the home page lists the channel and leads to its room, in both languages, on phone and desktop'({ view, publisher }) {
    await publisher();
    await server.isLive();
    for (const [device, options] of Object.entries(DEVICES)) {
      for (const [language, title] of Object.entries(LANGUAGES)) {
        const what = `${device}, ${language}`;
        const page = await view({ path: '/', locale: language, ...options });
        await page.getByRole('heading', { name: title, exact: true }).waitFor();
        assert.equal(await page.evaluate(() => document.documentElement.lang), language, what);
        const tile = page.locator('a.tile');
        // The title stands over the skeleton too.
        await tile.first().waitFor();
        assert.equal(await tile.count(), 1, what);
        assert.match(await tile.innerText(), /Stage/, what);
        await (options.hasTouch ? tile.tap() : tile.click());
        await page.waitForURL(`**/@${server.handle}`);
        await page.state('playing', 30_000);
        await page.plays();
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wider <= 0, `${what}: the page is ${wider} px wider than the screen`);
        page.clean();
        await page.context().close();
      }
    }
  },

  async 'a stream without sound plays, and goes on with sound when it comes back with it'({ view, publisher }) {
    const silent = await publisher({ audio: false });
    const page = await view();
    await page.state('playing', 30_000);
    await page.plays({ sound: false });
    assert.equal((await page.media()).audio, 0);
    const delay = await page.delayWithin(DELAY_MAX_MS);
    const { broadcast_id: before } = await server.live();
    await silent.kill();
    await page.state('waiting', 15_000);
    await publisher();
    await page.state('playing', 30_000);
    await page.plays();
    assert.equal((await server.live()).broadcast_id, before, 'it is the same broadcast');
    page.clean();
    return `${delay} ms behind`;
  },

  async 'a server that is killed and comes back goes on with the broadcast without a click'({ view, publisher }) {
    const first = await publisher();
    const page = await view();
    await page.state('playing', 30_000);
    await page.plays();
    const { broadcast_id: before } = await server.live();
    const began = Date.now();
    await server.kill();
    await first.stop();
    server = await startServer({ before: server });
    const ready = Date.now() - began;
    assert.equal((await server.live()).broadcast_id, before, 'it is the same broadcast');
    await publisher();
    const back = performance.now();
    await server.isLive();
    await page.state('playing', 30_000);
    await page.plays();
    const took = Math.round(performance.now() - back);
    const delay = await page.delayWithin(DELAY_MAX_MS);
    assert.equal((await server.live()).broadcast_id, before, 'it is still the same broadcast');
    page.clean({ unreachable: true });
    return `ready ${ready} ms after the kill, two seconds played ${took} ms after the new ffmpeg's start, ${delay} ms behind; shown: ${await page.since(began)}`;
  },

  async 'a server that ends and comes back is honest meanwhile and plays again by itself'({ view, publisher }) {
    await publisher();
    const page = await view();
    await page.state('playing', 30_000);
    await page.plays();
    const began = Date.now();
    const code = await server.terminate();
    const took = Date.now() - began;
    assert.equal(code, 0, 'exit code');
    // The last second may still play. Then the page must not promise a picture, nor say that the channel is live.
    await page.state(['offline', 'error'], 10_000);
    const slate = await page.locator('.slate .title').innerText();
    await page.state('error', 20_000);
    await page.getByText('cannot tell whether the channel is live').waitFor();
    server = await startServer({ before: server });
    await page.state('offline', 30_000);
    await publisher();
    await page.state('playing', 30_000);
    await page.plays();
    page.clean({ unreachable: true });
    return `exit code ${code} after ${took} ms; shown: ${await page.since(began)}; first slate “${slate}”`;
  },
};

let server = await startServer();

const browser = await openBrowser();
const pages = [];
const publishers = [];

const failed = await runCases(cases, {
  async run(one) {
    await server.isOffline();
    return one({
      async view({ path = `/@${server.handle}`, ...options } = {}) {
        const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en', ...options });
        const page = await openViewer(context, { delay: 'standard' });
        pages.push(page);
        await page.goto(server.url + path);
        return page;
      },
      async publisher(options) {
        const one = publish(server, options);
        publishers.push(one);
        return one;
      },
    });
  },
  async about() {
    const states = pages.map(async (page) => {
      const state = page.isClosed() ? 'closed' : await page.attribute('data-state').catch(() => 'no room');
      return `page: ${state}; ${[...page.complaints, ...page.failures.slice(-5)].join(' | ') || 'no complaints'}`;
    });
    return [...(await Promise.all(states)), ...publishers.flatMap((one) => lastLines('ffmpeg', one.log(), 3)), ...lastLines('server', server.log())];
  },
  async after() {
    for (const page of pages.splice(0)) await page.context().close().catch(() => undefined);
    for (const one of publishers.splice(0)) await one.stop();
  },
});
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
