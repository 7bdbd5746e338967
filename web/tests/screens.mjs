// The pictures in docs/screens: the real server, a real broadcast. `npm run screens [-- NAME…]`, where names choose among them.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CAMERA, openBrowser, pagesFromDist } from './browser.mjs';
import { fillRoom, FREE } from './crowd.mjs';
import { evening } from './scene.mjs';
import { ffmpeg, sleep, startServer, until } from './server.mjs';

const [directory, ...wanted] = process.argv.slice(2);
if (!directory) throw new Error('usage: node tests/screens.mjs DIRECTORY [NAME…]');
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
const WIDTH = 1280;
const HEIGHT = 720;
const DELAY_SHOWN_MS = 1_500;
/** Until what moves has come all the way across. */
const ACROSS_MS = 10_000;
/** What is said a second on an ordinary evening, and on a great one. */
const EVENING = 6;
const FULL = 200;

const DESKTOP = { viewport: { width: 1440, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const live = async (page) => {
  await state(page, 'playing');
  await until('a settled delay', async () => {
    const delay = await page.locator('[data-state]').getAttribute('data-delay-ms');
    return delay !== null && Number(delay) < DELAY_SHOWN_MS;
  }, 40_000);
  await sleep(ACROSS_MS);
  // The chrome comes with a movement or a tap, and goes after a while.
  await until('the controls are there', async () => {
    if (page.viewportSize().width > 720) await page.mouse.move(500 + Math.random() * 50, 300);
    else if ((await page.locator('.controls.visible').count()) === 0) await page.touchscreen.tap(195, 150);
    await sleep(300);
    return (await page.locator('.controls.visible').count()) > 0;
  });
};
const listed = (page) => page.waitForSelector('a.tile img', { timeout: 30_000 });
const offline = (page) => state(page, 'offline');

const WHILE_LIVE = {
  room: { room: true, ready: live, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'room-desktop-light-zh': { room: true, ready: live, options: { ...DESKTOP, colorScheme: 'light', locale: 'zh-CN' } },
  'room-phone-dark-en': { room: true, ready: live, options: { ...PHONE, colorScheme: 'dark', locale: 'en' } },
  'room-phone-light-zh': { room: true, ready: live, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
  'home-desktop-dark-zh': { ready: listed, options: { ...DESKTOP, colorScheme: 'dark', locale: 'zh-CN' } },
  'home-phone-light-en': { ready: listed, options: { ...PHONE, colorScheme: 'light', locale: 'en' } },
};
/** The ways in which the picture may come. */
const ways = async (page) => {
  await live(page);
  await page.locator('.delay-menu > button').evaluate((button) => button.click());
  await page.waitForSelector('.delay-menu .list.open');
};
Object.assign(WHILE_LIVE, {
  'room-ways-desktop-dark-en': { room: true, ready: ways, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'room-ways-phone-light-zh': { room: true, ready: ways, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
});
/** With so much said that the picture and the column are full. */
const WHILE_FULL = {
  'room-full-desktop-dark-zh': { room: true, ready: live, options: { ...DESKTOP, colorScheme: 'dark', locale: 'zh-CN' } },
  'room-full-desktop-light-en': { room: true, ready: live, options: { ...DESKTOP, colorScheme: 'light', locale: 'en' } },
  'room-full-phone-dark-en': { room: true, ready: live, options: { ...PHONE, colorScheme: 'dark', locale: 'en' } },
  'room-full-phone-light-zh': { room: true, ready: live, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
};
const seen = (page) => page.waitForSelector('.agent');
const form = (page) => page.waitForSelector('form');
const ACCOUNTS = {
  'sign-in-phone-dark-en': { path: '/sign-in', ready: form, options: { ...PHONE, colorScheme: 'dark', locale: 'en' } },
  'sign-up-desktop-light-zh': { path: '/sign-up', ready: form, options: { ...DESKTOP, colorScheme: 'light', locale: 'zh-CN' } },
  'account-desktop-dark-en': { path: '/account', signedIn: true, ready: form, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'tokens-phone-light-zh': {
    path: '/account/tokens',
    signedIn: true,
    ready: async (page) => {
      await page.click('.button.primary');
      await page.waitForSelector('dialog[open] form');
    },
    options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' },
  },
  'sessions-desktop-light-en': { path: '/account/sessions', signedIn: true, ready: seen, options: { ...DESKTOP, colorScheme: 'light', locale: 'en' } },
  'recover-phone-light-zh': { path: '/recover#br_example', ready: form, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
  'not-found-phone-dark-en': {
    path: '/nowhere',
    ready: (page) => page.waitForSelector('h1'),
    options: { ...PHONE, colorScheme: 'dark', locale: 'en' },
  },
};
const rows = (page) => page.waitForSelector('tbody tr');
/** The studio's own preview plays, and its chrome is gone again. */
const onMonitor = async (page) => {
  await state(page, 'playing');
  await page.waitForSelector('.controls:not(.visible)', { state: 'attached', timeout: 15_000 });
};
const onStrip = async (page) => {
  await state(page, 'playing');
  await page.waitForSelector('form');
};
const STUDIO = {
  'studio-desktop-dark-en': { path: '/studio', signedIn: true, ready: onMonitor, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'studio-phone-light-zh': { path: '/studio', signedIn: true, ready: onMonitor, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
  'studio-channel-desktop-light-zh': { path: '/studio/channel', signedIn: true, ready: onStrip, options: { ...DESKTOP, colorScheme: 'light', locale: 'zh-CN' } },
  'studio-keys-phone-dark-en': { path: '/studio/keys', signedIn: true, ready: onStrip, options: { ...PHONE, colorScheme: 'dark', locale: 'en' } },
  'admin-live-desktop-light-en': { path: '/admin', signedIn: true, ready: rows, options: { ...DESKTOP, colorScheme: 'light', locale: 'en' } },
};
const ADMIN = {
  'admin-people-phone-dark-zh': { path: '/admin/users', signedIn: true, ready: rows, options: { ...PHONE, colorScheme: 'dark', locale: 'zh-CN' } },
  'admin-health-desktop-dark-zh': { path: '/admin/health', signedIn: true, ready: rows, options: { ...DESKTOP, colorScheme: 'dark', locale: 'zh-CN' } },
  'admin-channels-desktop-light-zh': { path: '/admin/channels', signedIn: true, ready: rows, options: { ...DESKTOP, colorScheme: 'light', locale: 'zh-CN' } },
  'admin-config-phone-dark-en': { path: '/admin/config', signedIn: true, ready: (page) => page.waitForSelector('dl'), options: { ...PHONE, colorScheme: 'dark', locale: 'en' } },
  'studio-moderators-desktop-dark-zh': {
    path: '/studio/moderators',
    signedIn: true,
    ready: form,
    options: { ...DESKTOP, colorScheme: 'dark', locale: 'zh-CN' },
  },
  'studio-broadcasts-phone-light-en': { path: '/studio/broadcasts', signedIn: true, ready: rows, options: { ...PHONE, colorScheme: 'light', locale: 'en' } },
  'studio-offline-desktop-light-en': { path: '/studio', signedIn: true, ready: offline, options: { ...DESKTOP, colorScheme: 'light', locale: 'en' } },
};
/** Live from the browser itself, one after the other. */
const onCamera = async (page) => {
  await page.click('.frame .button.primary');
  await page.click('.bar .button.primary');
  await page.waitForSelector('.camera[data-phase=live]', { timeout: 20_000 });
  await until('some seconds of it', async () => Number.parseFloat(await page.locator('[data-figure=bitrate] .value').innerText()) > 0.2, 40_000);
  await state(page, 'playing');
};
const CAMERAS = {
  'studio-camera-desktop-dark-en': { path: '/studio/camera', signedIn: true, ready: onCamera, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'studio-camera-phone-light-zh': { path: '/studio/camera', signedIn: true, ready: onCamera, options: { ...PHONE, colorScheme: 'light', locale: 'zh-CN' } },
};
const OUTAGE = 'error-desktop-dark-zh';
const AFTERWARDS = {
  'offline-desktop-dark-en': { room: true, ready: offline, options: { ...DESKTOP, colorScheme: 'dark', locale: 'en' } },
  'offline-phone-dark-zh': { room: true, ready: offline, options: { ...PHONE, colorScheme: 'dark', locale: 'zh-CN' } },
  'empty-desktop-light-en': { ready: (page) => page.waitForSelector('code'), options: { ...DESKTOP, colorScheme: 'light', locale: 'en' } },
};

mkdirSync(directory, { recursive: true });
for (const file of readdirSync(directory)) if (file.endsWith('.png') && isWanted(file.slice(0, -'.png'.length))) rmSync(join(directory, file));
const server = await startServer({ settings: FREE });
const browser = await openBrowser(CAMERA);
const publisher = broadcast();
// Some seconds of it: a viewer who comes later has a segment to start with.
await until('the broadcast has run for a while', async () => (await server.live())?.uptime_ms > 6_000, 30_000);
const kept = await operator();
const people = await fillRoom(server, browser);
people.pace(EVENING);
await take(WHILE_LIVE);
people.pace(FULL);
await take(WHILE_FULL);
await people.leave();
await take(STUDIO, kept);
await publisher.stop();
await until('the channel is offline', async () => (await server.live()) === null);
await take(AFTERWARDS);
await take(CAMERAS, kept);
await take(ACCOUNTS, kept);
await take(ADMIN, kept);
if (isWanted(OUTAGE)) await takeOutage();
await browser.close();
const sizes = readdirSync(directory).map((file) => statSync(join(directory, file)).size);
console.log(`${sizes.length} pictures, ${Math.round(sizes.reduce((sum, size) => sum + size, 0) / 1024)} kB`);
process.exit(0);

/** The scene with a clock in it; encoded beforehand, so that the pictures do not show how busy the machine was. */
function broadcast() {
  const scene = join(server.directory, 'scene.rgb');
  const clip = join(server.directory, 'clip.flv');
  writeFileSync(scene, evening(WIDTH, HEIGHT));
  const clock =
    "drawtext=text='%{pts\\:gmtime\\:70920\\:%H\\\\\\:%M\\\\\\:%S}':x=(w-tw)/2:y=h*0.16:fontsize=84:fontcolor=white@0.92:shadowcolor=black@0.35:shadowx=0:shadowy=3";
  const frames = ['-stream_loop', '-1', '-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${WIDTH}x${HEIGHT}`, '-framerate', '30'];
  runFfmpeg([
    ...[...frames, '-i', scene, '-f', 'lavfi', '-i', 'anullsrc=channel_layout=stereo:sample_rate=48000', '-t', '60'],
    ...['-vf', clock, '-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-crf', '16', '-g', '60'],
    ...['-c:a', 'aac', '-b:a', '96k', clip],
  ]);
  return ffmpeg(['-nostdin', '-re', '-stream_loop', '-1', '-i', clip, '-c', 'copy', '-f', 'flv', server.publishUrl]);
}

function runFfmpeg(args) {
  execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** What a browser keeps in which the operator has signed in. */
async function operator() {
  const { handle, password } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8')).admin;
  const context = await browser.newContext();
  await pagesFromDist(context);
  const page = await context.newPage();
  await page.goto(`${server.url}/sign-in?then=/account`);
  await page.fill('[name=handle]', handle);
  await page.fill('[name=password]', password);
  await page.click('[type=submit]');
  await page.waitForURL(`${server.url}/account`);
  await context.request.patch(`${server.url}/api/v1/channels/${server.handle}`, {
    data: { title: 'Evening over the hills', category: 'Nature', tags: ['evening', '慢直播'] },
  });
  const kept = await context.storageState();
  await context.close();
  return kept;
}

async function take(pictures, kept) {
  for (const [name, { room, path = '/', signedIn, ready, options }] of Object.entries(pictures)) {
    if (!isWanted(name)) continue;
    const context = await browser.newContext({ ...options, ...(signedIn ? { storageState: kept } : {}) });
    await pagesFromDist(context);
    const page = await context.newPage();
    await page.goto(room ? server.room : server.url + path);
    await ready(page);
    await shoot(page, name);
    // A page that is left ends what it broadcasts.
    await page.goto('about:blank');
    await context.close();
  }
}

async function shoot(page, name) {
  await sleep(400);
  const file = join(directory, `${name}.png`);
  await page.screenshot({ path: `${file}.full`, type: 'png' });
  shrink(`${file}.full`, file);
  console.log(`${file} ${Math.round(statSync(file).size / 1024)} kB`);
}

/** What a room says whose server has gone. */
async function takeOutage() {
  const context = await browser.newContext({ ...DESKTOP, colorScheme: 'dark', locale: 'zh-CN' });
  await pagesFromDist(context);
  const page = await context.newPage();
  await page.goto(server.room);
  await state(page, 'offline');
  await server.terminate();
  await state(page, 'error');
  await shoot(page, OUTAGE);
  await context.close();
}

/** 256 colours, chosen for the picture, are enough and a third of the size. */
function shrink(from, to) {
  const filter = 'split[a][b];[a]palettegen=reserve_transparent=0[p];[b][p]paletteuse=dither=sierra2_4a';
  runFfmpeg(['-f', 'png_pipe', '-i', from, '-vf', filter, '-f', 'image2', to]);
  rmSync(from);
}

async function state(page, name) {
  await page.waitForSelector(`[data-state="${name}"]`, { state: 'attached', timeout: 30_000 });
}
