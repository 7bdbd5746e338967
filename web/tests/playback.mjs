// Plays the test broadcast in Chromium where the real server (e2e.mjs) is too well-behaved or the viewer is the one who acts:
// wrong clocks, answers that are errors, a broadcast replaced at once, keyboard, a browser that forbids sound.
// First half of `npm run playback`; `node tests/playback.mjs NAME…` for some.

import assert from 'node:assert/strict';
import { Broadcast } from './broadcast.mjs';
import { forbidSound, openBrowser } from './browser.mjs';
import { CHANNEL, startFixture, streamOf } from './fixture.mjs';
import { makeMedia } from './media.mjs';

const media = makeMedia();
const wanted = process.argv.slice(2);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const cases = {
  async 'does not mind a viewer’s wrong clock'({ page, open }) {
    await page.addInitScript(() => {
      const now = Date.now;
      Date.now = () => now() + 3_600_000;
    });
    await open();
    await state(page, 'playing');
    await sleep(4_000);
    const delays = await watchDelays(page, 4);
    assert.ok(median(delays) < 1_500, `delays ${delays}`);
  },

  async 'gets over a server that answers nothing but errors for a while'({ page, open, scene }) {
    await open();
    await state(page, 'playing');
    scene.hlsDown = true;
    await state(page, 'buffering', 10_000);
    await state(page, 'error', 60_000);
    scene.hlsDown = false;
    await state(page, 'playing', 20_000);
  },

  async 'takes up a new broadcast while the old one still plays'({ page, open, scene }) {
    await open();
    await state(page, 'playing');
    scene.broadcast.end();
    scene.broadcast = new Broadcast(media);
    await sleep(8_000);
    await state(page, 'playing', 10_000);
    const delays = await watchDelays(page, 3);
    assert.ok(median(delays) < 2_500, `delays ${delays}`);
  },

  async 'obeys the keyboard, falls behind when paused, and goes live again'({ page, open }) {
    await open();
    await state(page, 'playing');
    await page.keyboard.press('k');
    assert.equal(await attribute(page, 'data-paused'), 'true');
    await sleep(6_000);
    await page.keyboard.press(' ');
    assert.equal(await attribute(page, 'data-paused'), 'false');
    await page.getByRole('button', { name: 'Go live' }).waitFor({ timeout: 5_000 });
    await sleep(1_500);
    const behind = Number(await attribute(page, 'data-delay-ms'));
    assert.ok(behind > 4_000, `${behind} ms behind`);
    await page.keyboard.press('l');
    await sleep(4_000);
    const delays = await watchDelays(page, 3);
    assert.ok(median(delays) < 1_500, `delays ${delays}`);
    await page.keyboard.press('m');
    assert.equal(await attribute(page, 'data-muted'), 'true');
    await page.keyboard.press('ArrowUp');
    assert.equal(await attribute(page, 'data-muted'), 'false');
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('f');
    await page.waitForFunction(() => document.fullscreenElement !== null);
  },

  async 'starts without sound where sound is not allowed'({ page, open }) {
    await forbidSound(page);
    await open();
    await state(page, 'playing');
    assert.equal(await attribute(page, 'data-muted'), 'true');
    await page.getByRole('button', { name: 'Tap to unmute' }).click();
    assert.equal(await attribute(page, 'data-muted'), 'false');
    await sleep(1_000);
    await state(page, 'playing');
  },
};

async function state(page, name, timeout = 10_000) {
  await page.waitForSelector(`[data-state="${name}"]`, { timeout, state: 'attached' }).catch(async (error) => {
    throw new Error(`not ${name} but ${await attribute(page, 'data-state')}: ${error.message.split('\n')[0]}`);
  });
}

function attribute(page, name) {
  return page.locator('[data-state]').getAttribute(name);
}

async function watchDelays(page, seconds) {
  const delays = [];
  for (let i = 0; i < seconds * 2; i += 1) {
    await sleep(500);
    delays.push(Number(await attribute(page, 'data-delay-ms')));
  }
  return delays;
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const scene = {
    broadcast: new Broadcast(media),
    streams: () => ({ streams: [] }),
    channel: () => ({ channel: CHANNEL, live: scene.broadcast ? streamOf(scene.broadcast) : null, last_live_at: null }),
  };
  const fixture = await startFixture(scene);
  const browser = await openBrowser();
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en' });
  // The fixture has no rooms; one that says nothing is enough here.
  await page.routeWebSocket('**/ws?*', () => undefined);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) complaints.push(message.text());
  });
  try {
    await sleep(2_500);
    const note = await run({ page, scene, open: () => page.goto(`${fixture.url}/@barrage`) });
    assert.deepEqual(complaints, []);
    console.log(`ok    ${name}${note ? ` (${note})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${error.message} ${complaints.join(' | ')}`);
  } finally {
    await browser.close();
    scene.broadcast?.end();
    await fixture.stop();
  }
}
process.exit(failed === 0 ? 0 : 1);
