// A viewer's page in a room: what it shows and plays, and everything that it complains about.

import assert from 'node:assert/strict';
import { readFrames } from './coded.mjs';
import { until } from './server.mjs';

const MEASURED_S = 5;

/** A page with what is asked of it here, and everything it complained about. `delay` was chosen in an earlier visit. */
export async function openViewer(context, { delay } = {}) {
  const page = await context.newPage();
  if (delay) await page.addInitScript((chosen) => localStorage.getItem('barrage.delay') ?? localStorage.setItem('barrage.delay', chosen), delay);
  const complaints = [];
  const failures = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    const { url } = message.location();
    complaints.push(`${message.type()}: ${message.text()}${url ? ` (${url})` : ''}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) failures.push(`${response.status()} ${response.url()}`);
  });
  await page.exposeFunction('noteViolation', (text) => complaints.push(text));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      globalThis.noteViolation(`CSP: ${event.violatedDirective} ${event.blockedURI}`),
    );
    /** WebRTC's own account of what is heard; the element gives none. */
    globalThis.connections = [];
    globalThis.RTCPeerConnection &&= class extends globalThis.RTCPeerConnection {
      constructor(...rest) {
        super(...rest);
        globalThis.connections.push(this);
      }
    };
    /** What was told on the picture; a second trouble may follow the first at once. */
    globalThis.said = [];
    new MutationObserver(() => {
      const text = document.querySelector('.player [role=status] span')?.textContent.trim();
      if (text && text !== globalThis.said.at(-1)) globalThis.said.push(text);
    }).observe(document, { subtree: true, childList: true, characterData: true });
    /** Every state that was shown, with the time. */
    globalThis.states = [];
    new MutationObserver(() => {
      const state = document.querySelector('[data-state]')?.getAttribute('data-state');
      if (state && state !== globalThis.states.at(-1)?.state) globalThis.states.push({ state, at: Date.now() });
    }).observe(document, { subtree: true, childList: true, attributeFilter: ['data-state'] });
  });

  const attribute = (name) => page.locator('[data-state]').getAttribute(name);
  const media = () =>
    page.evaluate(async () => {
      const video = document.querySelector('video');
      const last = globalThis.connections.at(-1);
      const heard = video.srcObject && last ? [...(await last.getStats()).values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio') : null;
      const { totalVideoFrames, droppedVideoFrames, corruptedVideoFrames } = video.getVideoPlaybackQuality();
      return {
        frames: totalVideoFrames,
        dropped: droppedVideoFrames,
        corrupted: corruptedVideoFrames,
        audio: video.srcObject ? (heard?.totalAudioEnergy ?? 0) : video.webkitAudioDecodedByteCount,
        time: video.currentTime,
        width: video.videoWidth,
        height: video.videoHeight,
      };
    });

  const protocol = (name) => until(`${name} in use`, async () => (await attribute('data-protocol')) === name, 30_000);

  return Object.assign(page, {
    attribute,
    media,
    complaints,
    failures,
    protocol,

    async playsOver(name) {
      await protocol(name);
      await page.state('playing', 30_000);
      await page.plays();
      assert.equal(await attribute('data-protocol'), name);
    },

    async choose(name) {
      await page.mouse.move(300 + Math.random() * 50, 300);
      await page.getByRole('button', { name: 'Picture and delay' }).click();
      await page.getByRole('menuitemradio', { name }).click();
    },

    async says(text) {
      const said = () => page.evaluate(() => globalThis.said);
      await until('something is said', async () => (await said()).includes(text), 20_000).catch(async () => {
        throw new Error(`not said within 20 s: “${text}”, but: ${(await said()).join(' | ') || 'nothing'}`);
      });
    },

    /** Of coded pictures, once the delay has settled: how late they are shown, and how late the page says they are. */
    async measured() {
      let last = null;
      await until('a settled delay', async () => {
        const { told } = await page.evaluate(readFrames, 1);
        const settled = last !== null && Math.abs(median(told) - last) < 50;
        last = median(told);
        return settled;
      }, 30_000);
      const { shown, told } = await page.evaluate(readFrames, MEASURED_S);
      assert.ok(shown.length > MEASURED_S * 10, `${shown.length} frames read`);
      return { shown: median(shown), told: median(told) };
    },

    async state(names, timeout = 10_000) {
      const any = [names].flat();
      const selector = any.map((name) => `[data-state="${name}"]`).join(', ');
      await page.waitForSelector(selector, { timeout, state: 'attached' }).catch(async () => {
        throw new Error(`after ${timeout / 1000} s not ${any.join(' or ')} but ${await attribute('data-state')}`);
      });
    },

    /** What was shown since then, as in “playing 0.3 s, offline 1.2 s”. */
    async since(began) {
      const states = await page.evaluate(() => globalThis.states);
      return states
        .filter(({ at }, i) => (states[i + 1]?.at ?? Infinity) > began)
        .map(({ state, at }) => `${state} ${(Math.max(0, at - began) / 1000).toFixed(1)} s`)
        .join(', ');
    },

    /** Two seconds of it: pictures are decoded, sound is, and time goes on. */
    async plays({ width, height, sound = true } = {}) {
      const from = await media();
      await until('frames and sound are decoded and time advances', async () => {
        const now = await media();
        // A source that was loaded anew counts from nothing.
        if (now.frames < from.frames || now.time < from.time) Object.assign(from, now);
        return now.frames >= from.frames + 50 && now.time >= from.time + 2 && (!sound || now.audio > from.audio);
      }, 20_000);
      assert.equal(await attribute('data-state'), 'playing');
      const now = await media();
      if (width) assert.deepEqual([now.width, now.height], [width, height]);
      else assert.ok(now.width > 0);
    },

    /** The page shows a delay of at most this, after the time that it needs to settle. */
    async delayWithin(most_ms) {
      const readings = [];
      return until(`a delay shown of at most ${most_ms} ms`, async () => {
        const text = await attribute('data-delay-ms');
        if (text === null) return false;
        readings.push(Number(text));
        const last = readings.slice(-20).sort((a, b) => a - b);
        return last.length === 20 && last[10] <= most_ms && last[10];
      }, 20_000);
    },

    /** No word in the console, but what a browser says of a server that is not there or says no, or of what a test blocked. */
    clean({ unreachable = false, blocked = false, refused = false } = {}) {
      const expected = [
        ...(unreachable ? [/ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE|status of 404 .*\/(hls|live|whep)\/|WebSocket connection to/] : []),
        ...(refused ? [/status of 406 .*\/whep\//] : []),
        ...(blocked ? [/ERR_FAILED/] : []),
      ];
      assert.deepEqual(
        complaints.filter((text) => !expected.some((one) => one.test(text))),
        [],
      );
    },
  });
}

export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
