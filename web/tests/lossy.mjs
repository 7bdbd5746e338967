// A room over WebRTC through a path that loses one packet in twenty each way, 100 ms there and back: how often and for how
// long the picture stands still. `npm run lossy [-- MINUTES]`, ten by default, for a machine that has nothing else to do;
// BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from. The WebRTC tests have a short form of it.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { BEHIND, relay } from './relay.mjs';
import { publish, sleep, startServer } from './server.mjs';
import { openViewer } from './viewer.mjs';

const PATH = { delay_ms: 50, loss: 0.05 };
/** Until the player knows how uneven what it gets is. */
const SETTLE_MS = 5_000;

/** What the picture may do on such a path. */
const FROZEN_MAX = 0.01;
const FREEZE_MAX_MS = 500;

/** What runs in the room: notes when pictures are put on the screen. */
function noteGaps() {
  const video = document.querySelector('video');
  globalThis.gaps = { longest_ms: 0, over: [], pictures: 0 };
  let before = null;
  const note = (now) => {
    const { gaps } = globalThis;
    const gap = before === null ? 0 : now - before;
    before = now;
    gaps.pictures += 1;
    gaps.longest_ms = Math.max(gaps.longest_ms, gap);
    if (gap > 250) gaps.over.push(Math.round(gap));
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

/** What runs in the room: how its connection has fared so far, as the browser counts it. */
async function fared() {
  const reports = [...(await globalThis.connections.at(-1).getStats()).values()];
  const video = reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
  const pair = reports.find(({ type, nominated }) => type === 'candidate-pair' && nominated);
  return {
    connections: globalThis.connections.length,
    freezes: video.freezeCount ?? 0,
    frozen_ms: Math.round((video.totalFreezesDuration ?? 0) * 1000),
    received: video.packetsReceived,
    lost: video.packetsLost,
    repaired: video.retransmittedPacketsReceived ?? 0,
    nacks: video.nackCount,
    plis: video.pliCount,
    dropped: video.framesDropped,
    decoded: video.framesDecoded,
    held_ms: Math.round((video.jitterBufferDelay / video.jitterBufferEmittedCount) * 1000),
    round_trip_ms: Math.round((pair?.currentRoundTripTime ?? 0) * 1000),
  };
}

/** Watches for so long, and tells how the picture fared. */
export async function watchLossy(browser, seconds) {
  const server = await startServer({ settings: { 'https.listen': '', ...BEHIND } });
  const way = await relay(server, PATH);
  const encoder = publish(server);
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  try {
    await server.isLive();
    await pagesFromDist(context);
    const page = await openViewer(context);
    await page.goto(server.room);
    await page.playsOver('webrtc');
    await sleep(SETTLE_MS);
    const before = await page.evaluate(fared);
    await page.evaluate(noteGaps);
    const began = performance.now();
    await sleep(seconds * 1000);
    const after = await page.evaluate(fared);
    const gaps = await page.evaluate(() => globalThis.gaps);
    const lasted_ms = performance.now() - began;
    assert.equal(await page.attribute('data-protocol'), 'webrtc');
    assert.equal(after.connections, before.connections, 'one connection for all of it');
    const { there, back } = way.counts();
    const since = (name) => after[name] - before[name];
    return {
      seconds: Math.round(lasted_ms / 1000),
      frozen: since('frozen_ms') / lasted_ms,
      freezes: since('freezes'),
      longest_gap_ms: Math.round(gaps.longest_ms),
      gaps_over_250_ms: gaps.over,
      pictures: gaps.pictures,
      lost: { to_server: there.lost / there.taken, to_browser: back.lost / back.taken },
      received_packets: since('received'),
      lost_packets: since('lost'),
      repaired_packets: since('repaired'),
      nacks: since('nacks'),
      plis: since('plis'),
      dropped: since('dropped'),
      decoded: since('decoded'),
      held_ms: after.held_ms,
      round_trip_ms: after.round_trip_ms,
    };
  } finally {
    await context.close();
    await encoder.stop();
    way.close();
    assert.equal(await server.terminate(), 0, 'the server ends in order');
  }
}

/** Asserts that the picture moved on. */
function movedOn({ frozen, longest_gap_ms }) {
  assert.ok(frozen < FROZEN_MAX, `frozen for ${(frozen * 100).toFixed(2)} % of the time`);
  assert.ok(longest_gap_ms <= FREEZE_MAX_MS, `the longest gap between pictures was ${longest_gap_ms} ms`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const minutes = Number(process.argv[2] ?? 10);
  const browser = await openBrowser();
  const told = await watchLossy(browser, minutes * 60);
  await browser.close();
  console.log(JSON.stringify({ at: new Date().toISOString(), path: PATH, ...told }, null, 2));
  movedOn(told);
}
