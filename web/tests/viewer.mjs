// A viewer's page in a room: what it shows and plays, and everything that it complains about.

import assert from 'node:assert/strict';
import { until } from './server.mjs';

/** A page with what is asked of it here, and everything it complained about. */
export async function openViewer(context) {
  const page = await context.newPage();
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
    /** Every state that was shown, with the time. */
    globalThis.states = [];
    new MutationObserver(() => {
      const state = document.querySelector('[data-state]')?.getAttribute('data-state');
      if (state && state !== globalThis.states.at(-1)?.state) globalThis.states.push({ state, at: Date.now() });
    }).observe(document, { subtree: true, childList: true, attributeFilter: ['data-state'] });
  });

  const attribute = (name) => page.locator('[data-state]').getAttribute(name);
  const media = () =>
    page.evaluate(() => {
      const video = document.querySelector('video');
      const { totalVideoFrames, droppedVideoFrames, corruptedVideoFrames } = video.getVideoPlaybackQuality();
      return {
        frames: totalVideoFrames,
        dropped: droppedVideoFrames,
        corrupted: corruptedVideoFrames,
        audio: video.webkitAudioDecodedByteCount,
        time: video.currentTime,
        width: video.videoWidth,
        height: video.videoHeight,
      };
    });

  return Object.assign(page, {
    attribute,
    media,
    complaints,
    failures,

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

    /** No word in the console, but what a browser says of a server that is not there, or of what a test blocked. */
    clean({ unreachable = false, blocked = false } = {}) {
      const expected = [
        ...(unreachable ? [/ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE|status of 404 .*\/(hls|live)\/|WebSocket connection to/] : []),
        ...(blocked ? [/ERR_FAILED/] : []),
      ];
      assert.deepEqual(
        complaints.filter((text) => !expected.some((one) => one.test(text))),
        [],
      );
    },
  });
}
