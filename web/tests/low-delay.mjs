// Low delay: FLV from the real server through mpegts.js in Chromium, chosen as a viewer chooses it, and what happens when
// it fails. `npm run low-delay [-- NAME…]`; BARRAGE_BIN names another binary.

import assert from 'node:assert/strict';
import { openBrowser } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { CODE, installReader, publishCoded } from './coded.mjs';
import { publish, startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

/** What the page shows as delay and what the pixels tell differ by the encoder's share and a tick. */
const TOLD_WRONG_MAX_MS = 300;
const LOW_MAX_MS = 1_000;

const cases = {
  async 'is nearer to live than LL-HLS, over WebSocket, and remembered'({ view, coded }) {
    await coded();
    const page = await view();
    const code = [];
    page.on('request', (request) => code.push(request.url()));
    const sockets = [];
    page.on('websocket', (socket) => sockets.push(new URL(socket.url()).pathname));
    const ofMedia = () => sockets.filter((path) => path.startsWith('/live/'));
    await page.playsOver('ll-hls');
    const standard = await page.measured();
    assert.deepEqual(code.filter((url) => url.includes('flv-engine')), [], 'nobody pays who did not choose it');
    await page.choose('Low delay');
    await page.playsOver('ws-flv');
    // It begins with what has gathered since the last keyframe, and catches up.
    const low = await until(`less than ${standard.shown} ms behind`, async () => {
      const now = await page.measured();
      return now.shown < standard.shown && now;
    }, 20_000);
    assert.deepEqual(ofMedia(), [`/live/${server.handle}.flv`]);
    assert.ok(Math.abs(low.shown - low.told) < TOLD_WRONG_MAX_MS, `${low.told} ms told, ${low.shown} ms measured`);
    await page.reload();
    await page.playsOver('ws-flv');
    await page.choose('Standard delay');
    await page.playsOver('ll-hls');
    page.clean();
    return `picture ${standard.shown} ms behind (told: ${standard.told}) on LL-HLS, ${low.shown} ms (told: ${low.told}) with low delay`;
  },

  async 'obeys the keyboard, and goes on at live after a pause'({ view, publisher }) {
    await publisher();
    const page = await view({ low: true });
    await page.playsOver('ws-flv');
    await page.keyboard.press('k');
    await until('the picture stands and falls behind', async () => Number(await page.attribute('data-delay-ms')) > 4_000);
    await page.getByRole('button', { name: 'Go live' }).waitFor();
    await page.keyboard.press(' ');
    await page.playsOver('ws-flv');
    const delay = await page.delayWithin(LOW_MAX_MS);
    await page.keyboard.press('m');
    assert.equal(await page.attribute('data-muted'), 'true');
    await page.keyboard.press('ArrowUp');
    assert.equal(await page.attribute('data-muted'), 'false');
    await page.keyboard.press('f');
    await page.waitForFunction(() => document.fullscreenElement !== null);
    await page.plays();
    page.clean();
    return `${delay} ms behind after the pause`;
  },

  async 'is connected no more in a long pause, and goes on at live after it'({ view, publisher }) {
    await publisher();
    const page = await view({ low: true });
    await page.playsOver('ws-flv');
    await page.keyboard.press('k');
    await until('nobody watches over FLV', async () => (await server.live()).viewers.flv === 0, 40_000);
    assert.equal(await page.attribute('data-paused'), 'true');
    await page.keyboard.press('k');
    await page.playsOver('ws-flv');
    const delay = await page.delayWithin(LOW_MAX_MS);
    page.clean();
    return `${delay} ms behind after the pause`;
  },

  async 'goes on over HTTP where WebSocket is closed, and says so'({ view, publisher }) {
    await publisher();
    const page = await view({ low: true, socket: (socket) => socket.close() });
    await page.says('Low delay goes on over HTTP. The connection for low delay could not be made.');
    await page.playsOver('http-flv');
    const delay = await page.delayWithin(LOW_MAX_MS);
    page.clean();
    return `${delay} ms behind`;
  },

  async 'goes on with LL-HLS where there is no FLV at all, says so, and tries again when asked'({ view, publisher }) {
    await publisher();
    let closed = true;
    const page = await view({
      low: true,
      socket: (socket) => (closed ? socket.close() : socket.connectToServer()),
      http: (route) => route.abort(),
    });
    await page.says('Back to the standard delay. The connection for low delay could not be made.');
    await page.playsOver('ll-hls');
    closed = false;
    await page.choose('Low delay');
    await page.playsOver('ws-flv');
    page.clean({ blocked: true });
  },

  async 'goes on over HTTP when a connection that played breaks off'({ view, publisher }) {
    await publisher();
    let connection;
    const page = await view({
      low: true,
      socket(socket) {
        connection = socket;
        socket.connectToServer();
      },
    });
    await page.playsOver('ws-flv');
    await connection.close({ code: 1011 });
    await page.says('Low delay goes on over HTTP. The connection for low delay broke off.');
    await page.playsOver('http-flv');
    page.clean();
  },

  async 'goes on over HTTP when nothing comes any more, and with LL-HLS when that is no FLV'({ view, publisher }) {
    await publisher();
    let silent = false;
    const page = await view({
      low: true,
      socket(socket) {
        const theServer = socket.connectToServer();
        theServer.onMessage((message) => silent || socket.send(message));
      },
      http: (route) => route.fulfill({ contentType: 'video/x-flv', body: 'A word from a proxy. '.repeat(1_000) }),
    });
    await page.playsOver('ws-flv');
    silent = true;
    await page.says('Low delay goes on over HTTP. The picture with low delay stood still.');
    await page.says('Back to the standard delay. The connection for low delay could not be made.');
    await page.playsOver('ll-hls');
    page.clean();
  },

  async 'outlives its publisher’s connection, the broadcast and the server'({ view, publisher }) {
    const killed = await publisher();
    const page = await view({ low: true });
    await page.playsOver('ws-flv');
    await killed.kill();
    await page.state('waiting', 15_000);
    const second = await publisher();
    await page.playsOver('ws-flv');
    const delay = await page.delayWithin(LOW_MAX_MS);
    await second.stop();
    await page.state('offline', 20_000);
    await server.isOffline();
    const third = await publisher({ size: '854x480' });
    await page.playsOver('ws-flv');
    await page.plays({ width: 854, height: 480 });
    await server.kill();
    await third.stop();
    server = await startServer({ before: server });
    await publisher();
    await server.isLive();
    await page.state('playing', 30_000);
    await page.plays();
    const protocol = await page.attribute('data-protocol');
    page.clean({ unreachable: true });
    return `${delay} ms behind after the publisher’s return; over ${protocol} after the server’s`;
  },

  async 'goes on with sound when a stream without it comes back with it'({ view, publisher }) {
    const silent = await publisher({ audio: false });
    const page = await view({ low: true });
    await page.protocol('ws-flv');
    await page.plays({ sound: false });
    await silent.kill();
    await page.state('waiting', 15_000);
    await publisher();
    await page.playsOver('ws-flv');
    page.clean();
  },

  async 'is not offered where the browser has no MediaSource'({ view, publisher }) {
    await publisher();
    const page = await view({
      low: true,
      prepare: (one) => one.addInitScript(() => delete globalThis.MediaSource),
    });
    await until('the player is there', async () => (await page.attribute('data-state')) !== null);
    await page.locator('h1').waitFor();
    assert.equal(await page.getByRole('menuitemradio', { name: 'Low delay', includeHidden: true }).count(), 0);
    assert.deepEqual(page.failures, []);
  },
};

let server = await startServer();

/** A viewer who chose the standard or the low delay before, with what stands between the page and the server's FLV. */
async function open(context, { low, socket, http, prepare }) {
  const page = await openViewer(context, { delay: low ? 'low' : 'standard' });
  await page.addInitScript(installReader, CODE);
  if (socket) await page.routeWebSocket('**/live/**', socket);
  if (http) await page.route('**/live/**', http);
  await prepare?.(page);
  return page;
}

const browser = await openBrowser();
const publishers = [];
let page = null;

const failed = await runCases(cases, {
  async run(one) {
    await server.isOffline();
    return one({
      async view(options = {}) {
        const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en' });
        page = await open(context, options);
        await page.goto(server.room);
        return page;
      },
      async publisher(options) {
        const one = publish(server, options);
        publishers.push(one);
        await server.isLive();
        return one;
      },
      async coded() {
        publishers.push(publishCoded(server));
        await server.isLive();
      },
    });
  },
  async about() {
    const shown = await page?.locator('[data-state]').evaluate((element) => ({ ...element.dataset })).catch(() => 'no room');
    return [
      `page: ${JSON.stringify(shown)}; ${[...(page?.complaints ?? []), ...(page?.failures.slice(-5) ?? [])].join(' | ') || 'no complaints'}`,
      ...lastLines('server', server.log()),
    ];
  },
  async after() {
    await page?.context().close().catch(() => undefined);
    page = null;
    for (const one of publishers.splice(0)) await one.stop();
  },
});
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
