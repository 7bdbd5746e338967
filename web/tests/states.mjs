// Every page and state, desktop and phone, light and dark, in both languages, from canned answers; axe looks at each, and
// nothing may be cut off. `npm run states -- DIRECTORY [NAME…]` leaves pictures in the directory; `npm run axe` takes each
// state once on desktop and once on a phone, without pictures.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ACCOUNT_STATES, giver, onlooker, speaker } from './account-states.mjs';
import { Broadcast } from './broadcast.mjs';
import { CAMERA, forbidSound, openBrowser } from './browser.mjs';
import { crowd } from './crowd.mjs';
import { CHANNEL, startFixture, streamOf } from './fixture.mjs';
import { makeMedia } from './media.mjs';
import { until } from './server.mjs';
import { studioStates } from './studio-states.mjs';
import { WALLET_STATES } from './wallet-states.mjs';

const [directory, ...wanted] = process.argv.slice(2);
if (!directory) throw new Error('usage: npm run states -- DIRECTORY [NAME…]');
const few = directory === '--few';
if (!few) mkdirSync(directory, { recursive: true });

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const HOUR = 3_600_000;
const DEVICES = {
  desktop: { viewport: { width: 1440, height: 900 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
const LANGUAGES = ['en', 'zh-CN'];
const SCHEMES = ['light', 'dark'];
const FEW = { desktop: 'light en', phone: 'dark zh-CN' };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const media = makeMedia();
const broadcast = new Broadcast(media);
const lost = new Broadcast(media);
const heard = new Broadcast(media, { video: false });
await sleep(3_000);

/** As of a server that says no to whoever wants to watch that way. */
const OVER_WEBRTC = { ...streamOf(broadcast).playback, whep: `/whep/${CHANNEL.handle}` };
const live = (changes) => ({ channel: CHANNEL, live: streamOf(broadcast, { started_at: new Date(Date.now() - 1.3 * HOUR).toISOString(), ...changes }), last_live_at: null });
const offline = { channel: CHANNEL, live: null, last_live_at: new Date(Date.now() - 3 * HOUR).toISOString() };
const others = [
  ['wanfeng', '晚风电台', '深夜点歌，聊聊最近在听的唱片', 12_480, 2.2],
  ['rustlings', 'Rustlings', 'Writing a parser from nothing, part 4: the part where everything is a state machine and the title is far too long', 342, 0.4],
  ['kitchen', 'Slow Kitchen', 'Dumplings for forty people', 1_904, 27],
  ['go_board', '围棋茶馆', '', 58, 0.01],
];
const wall = () => ({
  streams: [
    live().live,
    ...others.map(([handle, name, title, total, hours], i) =>
      streamOf(broadcast, {
        broadcast_id: `0199c0de-0000-7000-8000-00000000010${i}`,
        channel: { ...CHANNEL, id: `0199c0de-0000-7000-8000-00000000020${i}`, handle, name, title },
        title,
        state: handle === 'kitchen' ? 'waiting' : 'live',
        started_at: new Date(Date.now() - hours * HOUR).toISOString(),
        viewers: { hls: total, flv: 0, rtmp: 0, total },
      }),
    ),
  ],
});

const TALK = [
  ['wanfeng', '晚上好', { by: { name: '晚风' } }],
  ['rustlings', 'Is this the part where everything is a state machine?'],
  ['barrage', '欢迎大家，马上开始', { by: { name: 'Barrage', badges: ['host'] } }],
  ['go_board', '@mei 上次那首叫什么', { danmaku: { mentions: ['mei'] } }],
  ['mei', 'A long one, to see how a line breaks in a narrow column: https://example.invalid/a-very-long-address-without-any-blank', {}],
  ['kitchen', '👩‍🍳 dumplings', { danmaku: { reply: { p: 4, handle: 'mei', text: 'A long one, to see how a line' } }, by: { badges: ['moderator'] } }],
];

const EMOTIVE = [...TALK, ['mei', 'good evening :wave: :tea:', { danmaku: { emotes: { wave: '/emotes/wave', tea: '/emotes/tea' } } }]];
/** A blob with two eyes, in a colour of its own. */
const emote = (code) => {
  const hue = [...code].reduce((sum, letter) => sum + letter.charCodeAt(0) * 7, 0) % 360;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96"><circle cx="48" cy="50" r="42" fill="hsl(${hue} 80% 62%)"/><g fill="#222"><circle cx="34" cy="44" r="6"/><circle cx="62" cy="44" r="6"/></g><path d="M30 64q18 16 36 0" fill="none" stroke="#222" stroke-width="6" stroke-linecap="round"/></svg>`;
};

const shown = (state) => (page) => page.waitForSelector(`[data-state="${state}"]`, { state: 'attached', timeout: 30_000 });
/** On a screen for fingers the chrome comes with a tap, else with a movement. */
async function wakeChrome(page) {
  const visible = await page.locator('.controls.visible').count();
  if (visible === 0 && (await page.evaluate(() => matchMedia('(pointer: coarse)').matches))) await page.touchscreen.tap(195, 120);
  await page.mouse.move(500, 300);
  await page.mouse.move(520, 310);
  await sleep(300);
}

/** Not by a finger, before which the chrome may go; the open menu keeps it. */
async function openDelayMenu(page) {
  await page.locator('.delay-menu > button').evaluate((button) => button.click());
  await page.locator('.delay-menu .open').waitFor();
  const hidden = await page.locator('.delay-menu .open').evaluate((list) => list.scrollHeight - list.clientHeight);
  if (hidden > 0) throw new Error(`${hidden} px of the ways to watch are out of sight`);
}

const kind = (id, en, zh, tier, effect, glyph) => ({ id, name: { en, 'zh-CN': zh }, tier, effect, glyph });
const ROCKET = kind('rocket', 'Rocket', '火箭', 4, 'rocket', '🚀');
/** Somebody else gives so large a gift again and again. */
const launched = (gift) => ({
  path: '/@barrage',
  signedIn: true,
  api: giver(1_260, 66),
  channel: () => live(),
  room: { lines: TALK, launches: gift },
  ready: async (page) => {
    await canSpeak(page);
    await page.locator(`.layer.tier-${gift.tier} .card`).waitFor();
  },
});

/** So many danmaku are over the picture. */
async function danmakuOver(page, least) {
  await page.waitForFunction((wanted) => Number(document.querySelector('canvas.danmaku')?.dataset.count) >= wanted, least, { timeout: 30_000 });
}

async function openDanmakuMenu(page) {
  await page.locator('.danmaku-menu > button').evaluate((button) => button.click());
  await page.locator('.danmaku-menu dialog[open]').waitFor();
}

async function openLineMenu(page) {
  await page.getByText('晚上好').waitFor();
  await page.locator('.talk .who').nth(1).click();
  await page.locator('.line-menu.open').waitFor();
}

const field = (page) => page.locator('.composer textarea');

/** Whoever is signed in may speak as soon as the room knows them. */
async function canSpeak(page) {
  await shown('playing')(page);
  await page.getByText('晚上好').waitFor();
  await field(page).waitFor();
}

/** On a phone what can be given is behind a button. */
async function openGifts(page) {
  await canSpeak(page);
  const opener = page.locator('.gift-sheet > button');
  if (page.viewportSize().width < 1_000) await opener.click();
  await page.locator('.gift:enabled').first().waitFor();
  await page.locator('.purse .coins').waitFor();
}

/** Chosen on this server, which has no FLV. */
async function failLowDelay(page) {
  await shown('playing')(page);
  await openDelayMenu(page);
  await page.getByRole('menuitemradio').last().click();
  await page.locator('.interrupted').waitFor();
}

/** Each: the path, what the server answers, and how to know that the page stands. */
const SCREENS = {
  'home-live': { path: '/', streams: wall, ready: (page) => page.waitForSelector('h1') },
  'home-empty': { path: '/', streams: () => ({ streams: [] }), ready: (page) => page.waitForSelector('code') },
  'home-error': { path: '/', streams: () => 500, ready: (page) => page.waitForSelector('h1') },
  'home-loading': { path: '/', streams: () => 'hang', ready: (page) => page.waitForSelector('[aria-busy]') },
  'home-stale': {
    path: '/',
    streams: () => (Date.now() - openedAt < 1_500 ? wall() : 500),
    ready: (page) => page.waitForSelector('[role=status]', { timeout: 20_000 }),
    only: ['desktop', 'light'],
  },
  'room-live': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await shown('playing')(page);
      await sleep(2_500);
      await wakeChrome(page);
    },
  },
  'room-delay-menu': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await shown('playing')(page);
      await openDelayMenu(page);
    },
  },
  'room-webrtc-failed': {
    path: '/@barrage',
    channel: () => live({ playback: OVER_WEBRTC }),
    ready: async (page) => {
      await shown('playing')(page);
      await page.locator('.interrupted').waitFor();
      await wakeChrome(page);
    },
  },
  'room-webrtc-menu-failed': {
    path: '/@barrage',
    channel: () => live({ playback: OVER_WEBRTC }),
    ready: async (page) => {
      await shown('playing')(page);
      await openDelayMenu(page);
    },
  },
  'room-sound-alone': {
    path: '/@barrage',
    broadcast: heard,
    script: () => localStorage.setItem('barrage.delay', 'standard'),
    channel: () => live({ broadcast_id: heard.id, video: { ...streamOf(heard).video, codec: 'vp8' }, playback: { ...OVER_WEBRTC, sound_alone: ['hls', 'flv'] } }),
    ready: async (page) => {
      await shown('playing')(page);
      await page.locator('.heard button').waitFor();
    },
  },
  'room-chat': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await shown('playing')(page);
      await page.getByText('晚上好').waitFor();
      await wakeChrome(page);
    },
  },
  'room-danmaku-full': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK, flood: 200 },
    ready: async (page) => {
      await shown('playing')(page);
      await danmakuOver(page, page.viewportSize().width > 500 ? 45 : 12);
      await sleep(4_000);
      await wakeChrome(page);
    },
  },
  'room-danmaku-settings': {
    path: '/@barrage',
    channel: () => live(),
    room: { lines: TALK, flood: 5 },
    ready: async (page) => {
      await shown('playing')(page);
      await danmakuOver(page, 5);
      await openDanmakuMenu(page);
    },
  },
  'room-danmaku-paused': {
    path: '/@barrage',
    channel: () => live(),
    room: { lines: TALK, flood: 20 },
    ready: async (page) => {
      await shown('playing')(page);
      await danmakuOver(page, 8);
      await page.keyboard.press('p');
      await page.locator('.paused').waitFor();
    },
    only: ['dark'],
  },
  'room-danmaku-standing': {
    path: '/@barrage',
    channel: () => live(),
    room: { lines: TALK, flood: 5 },
    calm: true,
    ready: async (page) => {
      await shown('playing')(page);
      await page.keyboard.press('d');
      await danmakuOver(page, 5);
      await openDanmakuMenu(page);
    },
    only: ['dark'],
  },
  'room-blocked': {
    path: '/@barrage',
    channel: () => live(),
    room: { lines: TALK },
    blocked: { people: [{ id: 'x', handle: 'kitchen_loudspeaker' }, { id: 'y', handle: 'max' }], words: ['spoiler', '剧透', 'first'] },
    ready: async (page) => {
      await shown('playing')(page);
      await openDanmakuMenu(page);
      await page.locator('.danmaku-menu .blocked').click();
      await page.locator('dialog[open] form').waitFor();
    },
  },
  'room-line-menu': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await canSpeak(page);
      await openLineMenu(page);
    },
  },
  'room-composer-style': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await canSpeak(page);
      await page.locator('.style-menu > button').click();
      await page.getByRole('radio').nth(8).waitFor({ state: 'attached' });
    },
  },
  'room-composer-emotes': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: EMOTIVE },
    ready: async (page) => {
      await canSpeak(page);
      await page.locator('.emote-picker > button').click();
      await page.locator('.emote').nth(7).waitFor();
    },
  },
  'room-composer-names': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await canSpeak(page);
      await openLineMenu(page);
      await page.getByRole('menuitem').first().click();
      await field(page).pressSequentially('hello @');
      await page.getByRole('option').first().waitFor();
    },
  },
  'room-composer-refused': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK, refuses: { code: 'too_fast', message: 'Too fast.', retry_ms: 30_000 } },
    ready: async (page) => {
      await canSpeak(page);
      await field(page).fill('encore');
      await page.locator('.composer .send:enabled').click();
      await page.locator('.composer .refusal').waitFor();
    },
  },
  'room-gifts': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260, 66),
    channel: () => live(),
    room: { lines: TALK },
    ready: openGifts,
  },
  'room-gifts-poor': {
    path: '/@barrage',
    signedIn: true,
    api: giver(12),
    channel: () => live(),
    room: { lines: TALK, refuses: { code: 'cannot_pay', message: 'Too few coins.' } },
    ready: async (page) => {
      await openGifts(page);
      await page.locator('.gift').nth(3).click();
      await page.locator('.gifts .news .danger a').waitFor();
    },
  },
  'room-gifts-stranger': {
    path: '/@barrage',
    api: onlooker,
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await shown('playing')(page);
      if (page.viewportSize().width < 1_000) await page.locator('.gift-sheet > button').click();
      await page.locator('.below > a').waitFor();
    },
  },
  'room-gifts-own': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260, 0, { channels: ['barrage'] }),
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await canSpeak(page);
      if (page.viewportSize().width < 1_000) await page.locator('.gift-sheet > button').click();
      await page.locator('.below .own').waitFor();
    },
  },
  'room-gifts-frozen': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260, 0, { frozen: true }),
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await canSpeak(page);
      if (page.viewportSize().width < 1_000) await page.locator('.gift-sheet > button').click();
      await page.locator('.gifts .news .warn').waitFor();
    },
  },
  'room-gifts-pending': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260),
    channel: () => live(),
    room: { lines: TALK, mute: true },
    ready: async (page) => {
      await openGifts(page);
      for (let n = 0; n < 3; n += 1) await page.locator('.gift').nth(2).click();
      await page.locator('.gifts .news .waiting').waitFor();
      await sleep(1_000);
    },
  },
  'room-gifts-down': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260),
    channel: () => live(),
    room: { lines: TALK, giftsDown: Date.now() - HOUR },
    ready: async (page) => {
      await canSpeak(page);
      if (page.viewportSize().width < 1_000) await page.locator('.gift-sheet > button').click();
      await page.locator('.gifts .news .warn').waitFor();
    },
  },
  'room-gifts-super': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260, 66),
    channel: () => live(),
    room: { lines: TALK },
    ready: async (page) => {
      await openGifts(page);
      await page.locator('.below [aria-expanded]').click();
      await page.locator('.amount').nth(2).click();
      await page.locator('.words input').fill('下一首可以放那首雨声的吗');
    },
  },
  'room-gift-effect': launched(ROCKET),
  'room-gift-effect-rain': launched(kind('fireworks', 'Fireworks', '烟花', 3, 'rain', '🎆')),
  'room-gift-effect-burst': launched(kind('lantern', 'Lantern', '灯笼', 3, 'burst', '🏮')),
  'room-gift-effect-float': launched(kind('cake', 'Cake', '蛋糕', 2, 'float', '🎂')),
  'room-gift-effect-small': {
    ...launched(kind('rose', 'Rose', '玫瑰', 1, 'float', '🌹')),
    ready: async (page) => {
      await canSpeak(page);
      await page.locator('.line .gift').waitFor();
      if ((await page.locator('.layer').count()) > 0) throw new Error('the smallest gifts cover nothing');
    },
  },
  'room-gift-effect-still': { ...launched(ROCKET), calm: true },
  'room-super-chat': {
    path: '/@barrage',
    signedIn: true,
    api: giver(1_260, 66),
    channel: () => live(),
    room: {
      lines: TALK,
      gifts: [
        [{ handle: 'wanfeng', name: '晚风' }, 100, '今晚的雨声太好听了，能不能把这一段留下来'],
        [{ handle: 'rustlings' }, 30, 'Which synth is this?'],
        [{ handle: 'somebody_with_a_long_name' }, 2_000, 'A long one: thank you for every evening of this winter, and for the one song that nobody else ever plays.'],
      ],
    },
    ready: async (page) => {
      await canSpeak(page);
      await page.locator('.pins li').nth(2).waitFor();
      await page.waitForFunction(() => new Set([...document.querySelectorAll('.pins li')].map((pin) => pin.style.background)).size === 3);
    },
  },
  'room-chat-sampled': {
    path: '/@barrage',
    signedIn: true,
    api: speaker,
    channel: () => live(),
    room: { lines: TALK, flood: 50, sampled: { kept: 50, dropped: 1_170 } },
    ready: async (page) => {
      await shown('playing')(page);
      await page.locator('.sampled').waitFor();
      await danmakuOver(page, 3);
      await page.locator('.talk .lines').hover();
      const turnsBack = async () => {
        await page.locator('.talk .lines').evaluate((lines) => {
          lines.dispatchEvent(new WheelEvent('wheel', { deltaY: -300 }));
          lines.scrollTop -= 300;
        });
        return page.locator('.talk .more').isVisible();
      };
      await until('what is new waits', turnsBack);
    },
  },
  'room-chat-broken': {
    path: '/@barrage',
    channel: () => live(),
    room: { lines: TALK, breaks: true },
    ready: async (page) => {
      await shown('playing')(page);
      await page.locator('.talk .state').waitFor();
      await wakeChrome(page);
    },
  },
  'room-low-delay-failed': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await failLowDelay(page);
      await shown('playing')(page);
      await wakeChrome(page);
    },
  },
  'room-low-delay-menu-failed': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await failLowDelay(page);
      await openDelayMenu(page);
    },
    only: ['dark'],
  },
  'room-muted': { path: '/@barrage', silent: true, channel: () => live(), ready: async (page) => {
    await shown('playing')(page);
    await page.waitForSelector('.unmute');
    await sleep(800);
  }, only: ['phone', 'dark'] },
  'room-behind': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await shown('playing')(page);
      await page.keyboard.press('k');
      await page.waitForSelector('.go-live', { timeout: 15_000 });
    },
    only: ['dark'],
  },
  'room-chrome-gone': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await shown('playing')(page);
      await page.waitForSelector('.controls:not(.visible)', { state: 'attached', timeout: 10_000 });
      await sleep(400);
    },
    only: ['desktop', 'dark', 'en'],
  },
  'room-shortcuts': {
    path: '/@barrage',
    channel: () => live(),
    ready: async (page) => {
      await shown('playing')(page);
      await page.keyboard.press('?');
      await page.waitForSelector('dialog[open]');
    },
    only: ['desktop'],
  },
  'room-waiting': {
    path: '/@barrage',
    broadcast: lost,
    channel: () => ({ channel: CHANNEL, live: streamOf(lost), last_live_at: null }),
    ready: async (page) => {
      lost.losePublisher();
      await shown('waiting')(page);
      await sleep(500);
    },
    before: () => lost.publishing || lost.returnPublisher(),
    prepare: async (page) => {
      await shown('playing')(page);
      await sleep(1_500);
    },
  },
  'room-waiting-unseen': { path: '/@barrage', broadcast: null, channel: () => live({ state: 'waiting' }), ready: shown('waiting') },
  'room-offline': { path: '/@barrage', channel: () => offline, ready: shown('offline') },
  'room-error-api': { path: '/@barrage', channel: () => 500, ready: shown('error') },
  'room-error-network': {
    path: '/@barrage',
    broadcast: null,
    channel: () => live(),
    ready: shown('error'),
    only: ['light'],
  },
  'room-loading': { path: '/@barrage', channel: () => 'hang', ready: shown('loading') },
  'room-not-found': { path: '/@nobody', channel: () => null, ready: shown('not-found') },
  'not-found': { path: '/nowhere/at/all', ready: (page) => page.waitForSelector('h1') },
  ...ACCOUNT_STATES,
  ...WALLET_STATES,
  ...studioStates({ live, offline, wall }),
};

const unknown = few ? wanted.filter((name) => !(name in SCREENS)) : [];
if (unknown.length > 0) throw new Error(`no such states: ${unknown.join(', ')}`);

const browser = await openBrowser(CAMERA);
let openedAt = 0;
let findings = 0;

// The short round has no state that others would disturb, so both devices are looked at side by side.
const rounds = few ? Object.keys(DEVICES).map((device) => [device]) : [Object.keys(DEVICES)];
await Promise.all(rounds.map(lookAt));

async function lookAt(devices) {
  const scene = { broadcast, streams: () => ({ streams: [] }), channel: () => null };
  const fixture = await startFixture(scene);
  for (const [name, screen] of Object.entries(SCREENS)) {
    if (!isWanted(name)) continue;
    for (const device of devices) {
      for (const colorScheme of SCHEMES) {
        for (const language of LANGUAGES) {
          if (!(screen.only ?? []).every((tag) => [device, colorScheme, language].includes(tag))) continue;
          if (few && (screen.only || FEW[device] !== `${colorScheme} ${language}`)) continue;
          const context = await browser.newContext({ ...DEVICES[device], colorScheme, locale: language });
          await take(await context.newPage(), `${name}-${device}-${colorScheme}-${language}.png`, screen, scene, fixture);
          await context.close();
        }
      }
    }
    console.log(`done  ${name} ${devices.join(' ')}`);
  }
  await fixture.stop();
}

/** Pictures are wished for by a part of their name; the short round names each state. */
function isWanted(name) {
  if (few) return wanted.includes(name);
  return wanted.length === 0 || wanted.some((part) => name.includes(part));
}

/** One answer after the other, the last again and again; counted for one page, since two are open side by side. */
function inTurn(answers) {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)];
}

/** What the room says, to whoever comes; some say it and break off. */
async function sayInRoom(page, { lines = [], breaks = false, down = null, flood = 0, sampled = null, refuses = null, giftsDown = null, gifts = [], launches = null, mute = false }) {
  let came = 0;
  await page.route('**/emotes/*', (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname.startsWith('/api/')) return route.fallback();
    return route.fulfill({ contentType: 'image/svg+xml', body: emote(pathname) });
  });
  await page.routeWebSocket('**/ws?*', (socket) => {
    came += 1;
    if (breaks && came > 1) return socket.close();
    const lane = { e: 1, p: lines.length };
    const welcome = {
      t: 'welcome', room: CHANNEL.handle, lanes: { control: lane, money: lane, chat: lane, ambient: lane }, broadcast: null,
      server_ms: Date.now(), text_max: 100, viewers: 12_480, likes: 311, chat_down_since_ms: down,
      gifting_down_since_ms: giftsDown,
    };
    const danmaku = lines.map(([handle, text, more], p) => ({
      t: 'danmaku', l: 'chat', p, at: Date.now(), by: { id: `0199c0de-0000-7000-8000-0000000003${p + 10}`, handle, ...more?.by },
      text, mode: 'scroll', size: 'normal', colour: 0xffffff, ...more?.danmaku,
    }));
    const say = (...items) => socket.send(JSON.stringify(items));
    const superChats = gifts.map(([by, coins, text], n) => ({
      t: 'gift', l: 'money', p: lines.length + n, at: Date.now() - 20_000, seq: n + 1, by: { id: `0199c0de-0000-7000-8000-00000000050${n}`, ...by },
      gift: { id: 'super_chat', name: { en: 'Super chat', 'zh-CN': '醒目留言' }, tier: 2, effect: 'float', glyph: '💬' },
      count: 1, coins, text, pinned_ms: 60_000,
    }));
    say(welcome, ...danmaku, ...superChats);
    socket.onMessage((message) => {
      const { t, id } = JSON.parse(message);
      if (t === 'auth') say({ t: 'you', person: { id: '0199c0de-0000-7000-8000-000000000314', handle: 'mei' }, until_ms: Date.now() + 600_000 });
      if (!mute && (t === 'send' || t === 'give')) say({ t: 'error', id, ...refuses });
    });
    const launch = (n) =>
      say({
        t: 'gift', l: 'money', p: lines.length + n, at: Date.now(), seq: n + 1, by: { id: '0199c0de-0000-7000-8000-000000000510', handle: 'wanfeng', name: '晚风' },
        gift: launches, count: 1, coins: 5_000, combo: { id: 'a', n: n + 1 },
      });
    for (let n = 0; launches && n < 8; n += 1) setTimeout(() => launch(n), n * 1_000);
    if (sampled) say({ t: 'count', l: 'ambient', p: lines.length, at: Date.now(), viewers: 212_480, likes: 311, ...sampled });
    if (flood > 0) pour(page, flood, lines.length, say);
    if (breaks) setTimeout(() => socket.close(), 300);
    return undefined;
  });
}

/** So many danmaku a second for as long as the page is open, and now and then one's own and one that calls. */
function pour(page, per_second, from, say) {
  const words = crowd();
  let p = from;
  const own = { by: { id: '0199c0de-0000-7000-8000-000000000314', handle: 'mei' }, text: 'this one is mine', mode: 'scroll' };
  const call = { text: '@mei 你也在啊 :wave:', mentions: ['mei'], mode: 'scroll', emotes: { wave: '/emotes/wave' } };
  const pouring = setInterval(() => {
    const items = Array.from({ length: Math.max(1, per_second / 10) }, () => {
      p += 1;
      const extra = p % (per_second * 3) === 0 ? own : p % (per_second * 3) === per_second ? call : {};
      return { t: 'danmaku', l: 'chat', p, at: Date.now(), ...words.next().value, ...extra };
    });
    say(...items);
  }, Math.max(100, 1_000 / per_second));
  page.once('close', () => clearInterval(pouring));
}

/** Opens one state, waits until it stands, and examines it. */
async function take(page, file, screen, scene, fixture) {
  scene.broadcast = screen.broadcast === undefined ? broadcast : screen.broadcast;
  scene.streams = screen.streams ?? (() => ({ streams: [] }));
  scene.channel = screen.turns ? inTurn(screen.turns()) : (screen.channel ?? (() => null));
  scene.api = screen.api;
  screen.before?.();
  if (screen.script) await page.addInitScript(screen.script);
  if (screen.silent) await forbidSound(page);
  if (screen.calm) await page.emulateMedia({ reducedMotion: 'reduce' });
  if (screen.blocked) await page.addInitScript((blocked) => localStorage.setItem('barrage.blocked', JSON.stringify(blocked)), screen.blocked);
  if (screen.signedIn) await page.addInitScript(() => localStorage.setItem('barrage.signed_in', 'yes'));
  await sayInRoom(page, screen.room ?? {});
  openedAt = Date.now();
  try {
    await page.goto(fixture.url + screen.path);
    await screen.prepare?.(page);
    await screen.ready(page);
    await sleep(300);
    if (!few) await page.screenshot({ path: join(directory, file) });
    findings += await examine(page, file);
  } catch (error) {
    findings += 1;
    console.log(`FAIL  ${file}: ${error.message.split('\n')[0]}`);
  }
}

async function examine(page, file) {
  // Half faded out, nothing has contrast: what goes while axe looks goes at once.
  await page.evaluate(() => {
    const still = new CSSStyleSheet();
    still.replaceSync('*, ::before, ::after { transition: none !important; }');
    document.adoptedStyleSheets.push(still);
  });
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const cut = await page.evaluate(() =>
    [...document.querySelectorAll('button, a, code')]
      .filter((element) => element.checkVisibility() && !element.matches('.skip'))
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
      .map((element) => element.getAttribute('aria-label') ?? element.textContent.trim()),
  );
  let grave = cut.length;
  for (const name of cut) console.log(`FAIL  ${file}: cut off at the right: ${name}`);
  for (const violation of violations) {
    const bad = violation.impact === 'serious' || violation.impact === 'critical';
    grave += bad ? 1 : 0;
    console.log(`${bad ? 'FAIL ' : 'note '} ${file}: ${violation.id} (${violation.impact}): ${violation.nodes.map((node) => node.target.join(' ')).join(', ')}`);
  }
  if (overflow > 0) {
    grave += 1;
    console.log(`FAIL  ${file}: the page is ${overflow} px wider than the screen`);
  }
  return grave;
}

await browser.close();
console.log(findings === 0 ? 'nothing serious found' : `${findings} findings`);
process.exit(findings === 0 ? 0 : 1);
