// WebRTC in real browsers: published from Chromium's camera over WHIP in every codec it has, watched over WHEP by
// Chromium and Firefox, and by everybody else over LL-HLS. `npm run webrtc [-- NAME…]`; BARRAGE_BIN names another binary.

import assert from 'node:assert/strict';
import { openBrowser } from './browser.mjs';
import { openFirefox } from './firefox.mjs';
import { publish, startServer, until } from './server.mjs';

const wanted = process.argv.slice(2);

/** The fake camera shows a clock and beeps once a second. */
const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--disable-features=WebRtcHideLocalIpsWithMdns'];
const CODECS = ['H264', 'VP8', 'VP9', 'AV1'];

const server = await startServer();
const chrome = await openBrowser(CAMERA);

/** What runs in a page: publishes the camera, and resolves when media flows. */
async function sendCamera({ key, codec }) {
  const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360 }, audio: true });
  const connection = new RTCPeerConnection();
  globalThis.published = connection;
  for (const track of media.getTracks()) {
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly' });
    if (track.kind !== 'video') continue;
    const { codecs } = RTCRtpSender.getCapabilities('video');
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType)));
  }
  await connection.setLocalDescription(await connection.createOffer());
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` };
  const answer = await fetch('/whip', { method: 'POST', headers, body: connection.localDescription.sdp });
  if (answer.status !== 201) throw new Error(await answer.text());
  globalThis.session = answer.headers.get('location');
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  await new Promise((resolve, reject) => {
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'connected') resolve();
      if (connection.connectionState === 'failed') reject(new Error('no connection'));
    };
  });
}

/** What runs in a page: watches a channel, and resolves when its first picture is shown, with the time that took. */
async function watchChannel({ handle }) {
  const connection = new RTCPeerConnection();
  globalThis.watched = connection;
  const video = document.createElement('video');
  document.body.replaceChildren(video);
  video.autoplay = true;
  video.srcObject = new MediaStream();
  connection.ontrack = ({ track }) => video.srcObject.addTrack(track);
  connection.addTransceiver('video', { direction: 'recvonly' });
  connection.addTransceiver('audio', { direction: 'recvonly' });
  const began = performance.now();
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  await connection.setLocalDescription(await connection.createOffer());
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(`/whep/${handle}`, { method: 'POST', headers, body: connection.localDescription.sdp });
  if (answer.status !== 201) return { refused: await answer.json() };
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  await shown;
  return { first_ms: Math.round(performance.now() - began) };
}

/** What runs in a page: what its connection has received so far. */
async function received() {
  const found = {};
  for (const report of (await globalThis.watched.getStats()).values()) {
    if (report.type === 'transport') found.cipher = report.srtpCipher;
    if (report.type !== 'inbound-rtp') continue;
    if (report.kind === 'video') Object.assign(found, { frames: report.framesDecoded ?? 0, width: report.frameWidth, lost: report.packetsLost, asked: report.pliCount });
    else Object.assign(found, { sound: report.packetsReceived ?? 0, energy: report.totalAudioEnergy ?? 0 });
  }
  return found;
}

async function openPage(browser) {
  const page = await (browser.newContext ? (await browser.newContext()).newPage() : browser.newPage());
  // A page of the server's that asks for nothing.
  await page.goto(`${server.url}/api/openapi.json`);
  return page;
}

async function publishCamera(codec) {
  const page = await openPage(chrome);
  await page.evaluate(sendCamera, { key: server.publishUrl.split('/').pop(), codec });
  await server.isLive();
  return {
    page,
    async end() {
      await page.evaluate(async (key) => {
        await fetch(globalThis.session, { method: 'DELETE', headers: { Authorization: `Bearer ${key}` } });
        globalThis.published.close();
      }, server.publishUrl.split('/').pop());
      await page.close();
      await server.isOffline();
    },
  };
}

/** Watches until pictures are decoded and sound is heard. */
async function watch(browser, { sound = true } = {}) {
  const page = await openPage(browser);
  const began = await page.evaluate(watchChannel, { handle: server.handle });
  assert.ok(!began.refused, JSON.stringify(began.refused));
  const first = await page.evaluate(received);
  const seen = await until('thirty more pictures, and sound', async () => {
    const now = await page.evaluate(received);
    return now.frames >= first.frames + 30 && (!sound || now.energy > 0) && now;
  }, 20_000);
  await page.close();
  return { ...began, ...seen };
}

const cases = {};
for (const codec of CODECS) {
  cases[`${codec} from a camera is seen and heard in Chromium`] = async () => {
    const camera = await publishCamera(codec);
    const seen = await watch(chrome);
    await camera.end();
    assert.equal(seen.width, 640);
    assert.equal(seen.lost, 0);
    assert.equal(seen.cipher, 'SRTP_AEAD_AES_128_GCM');
    return `first picture ${seen.first_ms} ms after asking`;
  };
}

Object.assign(cases, {
  async 'VP8 from a camera is seen and heard in Firefox, which is told that it cannot have H.264'() {
    const firefox = await openFirefox();
    try {
      const camera = await publishCamera('VP8');
      const seen = await watch(firefox, { sound: false });
      await camera.end();
      const other = await publishCamera('H264');
      const page = await openPage(firefox);
      const { refused } = await page.evaluate(watchChannel, { handle: server.handle });
      await other.end();
      assert.equal(refused?.code, 'codec', 'Debian\'s Firefox comes without H.264 for WebRTC');
      return `first picture ${seen.first_ms} ms after asking`;
    } finally {
      await firefox.close();
    }
  },

  async 'what RTMP publishes is seen and heard'() {
    const encoder = publish(server);
    await server.isLive();
    const seen = await watch(chrome);
    await encoder.stop();
    await server.isOffline();
    assert.equal(seen.lost, 0);
    return `first picture ${seen.first_ms} ms after asking, ${seen.asked} keyframes asked for`;
  },

  async 'what a camera publishes is seen in the room over LL-HLS'() {
    const camera = await publishCamera('H264');
    const page = await (await chrome.newContext()).newPage();
    await page.goto(server.room);
    const shown = () => page.evaluate(() => document.querySelector('video')?.currentTime ?? 0);
    const first = await until('the picture moves', shown, 20_000);
    await until('two seconds on', async () => (await shown()) > first + 2, 20_000);
    await page.close();
    await camera.end();
  },
});

let failed = 0;
const chosen = Object.entries(cases).filter(([name]) => wanted.length === 0 || wanted.includes(name));
for (const [name, run] of chosen) {
  try {
    const told = await run();
    console.log(`ok: ${name}${told ? `: ${told}` : ''}`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED: ${name}\n${error.stack ?? error}\n${server.log().split('\n').slice(-20).join('\n')}`);
  }
}
await chrome.close();
assert.equal(await server.terminate(), 0, 'the server ends in order');
console.log(`${chosen.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 && chosen.length > 0 ? 0 : 1);
