// What is said in a room: the real server, ffmpeg as the publisher, several people in Chromium. `npm run chat [-- NAME…]`;
// BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { CODE, installReader, notePictures, publishCoded } from './coded.mjs';
import { FREE, PASSWORD } from './crowd.mjs';
import { publish, startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

/** What one says at a picture, another sees so near to the same picture. */
const APART_MAX_MS = 50;
/** One picture: the clocks of two elements are read to no more. */
const EARLY_MAX_MS = 34;
const WORDS = 9;

let server = await startServer({ settings: FREE });
/** Without them the console would complain of each page that asks. */
const hasEmotes = (await fetch(`${server.url}/api/v1/channels/${server.handle}/emotes`)).ok;
const browser = await openBrowser();
const people = [];
let publisher = null;

async function goLive() {
  publisher = publish(server);
  await server.isLive();
}

/** Somebody in a browser of their own; with a handle, signed in. */
async function somebody(handle, { host = false, delay, coded = false, at = server, ...options } = {}) {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 }, ...options });
  await pagesFromDist(context);
  if (!hasEmotes) await context.route('**/api/v1/channels/*/emotes', (route) => route.fulfill({ json: { emotes: [] } }));
  const page = await openViewer(context, { delay });
  people.push(page);
  if (coded) {
    await page.addInitScript(installReader, CODE);
    await page.addInitScript(notePictures);
  }
  if (handle || host) {
    if (host) await signInAsHost(page, at);
    else await signUp(page, handle, at);
    await page.addInitScript(() => localStorage.setItem('barrage.signed_in', 'yes'));
  }
  await page.goto(at.room);
  await page.getByRole('log').waitFor();
  return Object.assign(page, {
    async say(text) {
      await page.getByLabel('Say something').fill(text);
      await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).waitFor();
      await page.getByLabel('Say something').press('Enter');
      await until(`“${text}” is sent`, async () => (await page.getByLabel('Say something').inputValue()) === '');
    },
    sees: (text) => page.getByRole('log').getByText(text, { exact: true }).waitFor(),
    lines: () => page.getByRole('log').locator('.text').allInnerTexts(),
    /** Opens it, with the chrome awake. */
    async danmakuSettings() {
      await page.mouse.move(300, 200);
      await page.mouse.move(320, 220);
      await page.getByRole('button', { name: 'Danmaku settings' }).click();
    },
    over: async (name) => (await page.locator('canvas.danmaku').getAttribute(`data-${name}`)) ?? '0',
    /** Chooses from what can be done about a line. */
    async does(text, entry) {
      const said = page.locator('.text').getByText(text, { exact: true });
      await page.getByRole('log').locator('.line', { has: said }).locator('.who').click();
      await page.getByRole('menuitem', { name: entry }).click();
    },
  });
}

async function signUp(page, handle, at = server) {
  const data = { handle, password: PASSWORD };
  const answer = await page.request.post(`${at.url}/api/v1/account`, { data, headers: { origin: at.url } });
  assert.equal(answer.status(), 201, await answer.text());
}

async function signInAsHost(page, at) {
  const { admin } = JSON.parse(readFileSync(join(at.directory, 'first-run.json'), 'utf8'));
  const data = { handle: admin.handle, password: admin.password };
  const answer = await page.request.post(`${at.url}/api/v1/session`, { data, headers: { origin: at.url } });
  assert.equal(answer.status(), 200, await answer.text());
}

async function posts(page, path, data, headers = {}) {
  const answer = await page.request.post(server.url + path, { data, headers: { origin: server.url, ...headers } });
  assert.ok(answer.ok(), `${path}: ${answer.status()} ${await answer.text()}`);
  return answer.json();
}

/** In the sandbox. */
async function buysCoins(page, pack) {
  const { id } = await posts(page, '/api/v1/wallet/top-ups', { pack }, { 'idempotency-key': `pack-${pack}` });
  await posts(page, `/api/v1/payments/sandbox/${id}`, { outcome: 'pay' });
  await until('there are coins', async () => (await (await page.request.get(`${server.url}/api/v1/wallet`)).json()).wallet.coins > 0);
}

const gives = (page, gift) => posts(page, `/api/v1/rooms/${server.handle}/gifts`, gift);

/** Several people on connections of their own who say so much between them until `stop`, which tells how much that was. */
async function crowdSpeaks(names, per_second) {
  const speakers = [];
  for (const name of names) {
    const context = await browser.newContext();
    await pagesFromDist(context);
    const page = await context.newPage();
    people.push(Object.assign(page, { complaints: [], failures: [] }));
    await signUp(page, name);
    await page.goto(server.url);
    const answer = await page.request.post(`${server.url}/api/v1/rooms/${server.handle}/token`, { headers: { origin: server.url } });
    const { token } = await answer.json();
    await page.evaluate(speak, { room: server.handle, token, every_ms: (1_000 / per_second) * names.length });
    speakers.push(page);
  }
  return {
    tell: async () => (await Promise.all(speakers.map((page) => page.evaluate(() => globalThis.spoken())))).join('; '),
    async stop() {
      const counts = await Promise.all(speakers.map((page) => page.evaluate(() => globalThis.stop())));
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}

/** In a page: says one thing after the other. */
async function speak({ room, token, every_ms }) {
  const socket = new WebSocket(`ws://${location.host}/ws?room=${room}`, 'barrage.v1.json');
  await new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(JSON.stringify({ t: 'auth', token }));
    socket.onmessage = ({ data }) => data.includes('"t":"you"') && resolve();
    socket.onerror = () => reject(new Error('no connection to the room'));
  });
  let said = 0;
  let closed = '';
  const refused = {};
  socket.onmessage = ({ data }) => {
    const heard = JSON.parse(data);
    for (const { t, code } of Array.isArray(heard) ? heard : [heard]) if (t === 'error') refused[code] = (refused[code] ?? 0) + 1;
  };
  socket.onclose = ({ code, reason }) => {
    closed = ` closed (${code} ${reason})`;
  };
  const began = performance.now();
  const speaking = setInterval(() => {
    for (; said < (performance.now() - began) / every_ms; said += 1) {
      const text = said % 7 === 0 ? `number ${said}, which is a little longer so that it takes two lines of the column` : `number ${said}`;
      socket.send(JSON.stringify({ t: 'send', id: said, text }));
    }
  }, 20);
  globalThis.spoken = () => `${said} said, refused ${JSON.stringify(refused)}${closed}`;
  globalThis.stop = () => {
    clearInterval(speaking);
    return said;
  };
}

const cases = {
  async 'what one says the others see, in the column and over the picture'() {
    await goLive();
    const [ann, viewer] = [await somebody('ann'), await somebody(null)];
    await viewer.getByRole('link', { name: 'Sign in to say something' }).waitFor();
    await viewer.plays();
    await ann.plays();
    await ann.say('弹幕 <b>hello</b>');
    await viewer.sees('弹幕 <b>hello</b>');
    await ann.sees('弹幕 <b>hello</b>');
    await until('it moves over both pictures', async () => (await viewer.over('drawn')) === '1' && (await ann.over('drawn')) === '1');
    await viewer.keyboard.press('d');
    await ann.say('unseen');
    await viewer.sees('unseen');
    assert.equal(await viewer.over('drawn'), '1', 'danmaku are off');
    await ann.does('unseen', 'Delete');
    await until('it is gone', async () => !(await viewer.lines()).includes('unseen'));
    viewer.clean();
    ann.clean();
  },

  async 'a key that chooses a word sends nothing'() {
    const bob = await somebody('bob');
    const field = bob.getByLabel('Say something');
    await field.focus();
    const method = await bob.context().newCDPSession(bob);
    const enter = (keyCode) => {
      const key = { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: keyCode };
      return method.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...key }).then(() => method.send('Input.dispatchKeyEvent', { type: 'keyUp', ...key }));
    };
    await method.send('Input.imeSetComposition', { text: 'ni hao', selectionStart: 6, selectionEnd: 6 });
    await until('it is being composed', async () => (await field.inputValue()) === 'ni hao');
    // The key first says what it chooses, then as Safari tells it after the choice.
    await enter(13);
    await method.send('Input.insertText', { text: '你好' });
    await enter(229);
    await until('it is chosen', async () => (await field.inputValue()) === '你好');
    assert.ok(!(await bob.lines()).includes('你好'), 'nothing is said before it is wanted');
    await enter(13);
    await bob.sees('你好');
    await field.fill('👨‍👩‍👧‍👦'.repeat(101));
    await bob.getByText('-1', { exact: true }).waitFor();
    await field.fill('x'.repeat(101));
    await bob.getByText('-1', { exact: true }).waitFor();
    assert.ok(await bob.getByRole('button', { name: 'Send' }).isDisabled());
    bob.clean();
  },

  async 'danmaku are as the viewer wants them, today and tomorrow'() {
    await goLive();
    const [fay, viewer] = [await somebody('fay'), await somebody(null)];
    await viewer.plays();
    await viewer.danmakuSettings();
    await viewer.getByRole('radio', { name: 'Top ¼' }).check({ force: true });
    await viewer.getByRole('radio', { name: 'Slow' }).check({ force: true });
    await viewer.getByRole('slider', { name: 'Opacity' }).fill('40');
    assert.equal(await viewer.locator('canvas.danmaku').evaluate((canvas) => canvas.style.opacity), '0.4');
    await viewer.keyboard.press('Escape');
    await viewer.getByRole('dialog', { name: 'Danmaku settings' }).waitFor({ state: 'hidden' });
    await fay.say('one that moves');
    await until('it moves', async () => (await viewer.over('count')) === '1');
    await viewer.setViewportSize({ width: 1500, height: 900 });
    const fits = (canvas) => canvas.width === Math.round(canvas.clientWidth * devicePixelRatio) && canvas.height === Math.round(canvas.clientHeight * devicePixelRatio);
    await until('the canvas has the size of the picture', () => viewer.locator('canvas.danmaku').evaluate(fits));
    assert.equal(await viewer.over('count'), '1', 'what was there still is');
    await viewer.keyboard.press('p');
    await viewer.getByRole('button', { name: 'Danmaku are paused' }).waitFor();
    await fay.say('only in the column');
    await viewer.sees('only in the column');
    assert.deepEqual([await viewer.over('count'), await viewer.over('drawn')], ['1', '1'], 'what is there stays, and nothing comes');
    await viewer.getByRole('button', { name: 'Danmaku are paused' }).click();
    await fay.say('and on they go');
    await until('the next one moves', async () => (await viewer.over('drawn')) === '2');
    await viewer.reload();
    await viewer.getByRole('log').waitFor();
    await viewer.plays();
    await viewer.danmakuSettings();
    assert.ok(await viewer.getByRole('radio', { name: 'Top ¼' }).isChecked());
    assert.ok(await viewer.getByRole('radio', { name: 'Slow' }).isChecked());
    assert.equal(await viewer.getByRole('slider', { name: 'Opacity' }).inputValue(), '40');
    viewer.clean();
  },

  async 'who wants less motion is shown none that move'() {
    await goLive();
    const [gus, viewer] = [await somebody('gus'), await somebody(null, { reducedMotion: 'reduce' })];
    await viewer.plays();
    await gus.say('not over the picture');
    await viewer.sees('not over the picture');
    assert.equal(await viewer.over('drawn'), '0');
    await viewer.keyboard.press('d');
    await gus.say('in its place');
    await until('it is there', async () => (await viewer.over('count')) === '1');
    const picture = () => viewer.locator('canvas.danmaku').evaluate((canvas) => canvas.toDataURL());
    const before = await picture();
    const frames = () => viewer.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    for (let n = 0; n < 10; n += 1) await frames();
    if ((await viewer.over('count')) === '1') assert.ok((await picture()) === before, 'it stands still');
    viewer.clean();
  },

  async 'whom and what one blocks is gone, and comes back'() {
    await goLive();
    const [hal, ida, viewer] = [await somebody('hal'), await somebody('ida'), await somebody(null)];
    for (const [who, text] of [[hal, 'a Spoiler'], [ida, 'it is me'], [hal, 'nothing']]) await who.say(text);
    await viewer.sees('nothing');
    await viewer.does('it is me', 'Block @ida');
    await until('she is gone', async () => !(await viewer.lines()).includes('it is me'));
    await ida.say('it is me again');
    await viewer.danmakuSettings();
    await viewer.getByRole('button', { name: 'Blocked people and words (1)' }).click();
    await viewer.getByLabel('Word to block').fill('ＳＰＯＩＬＥＲ');
    await viewer.getByRole('button', { name: 'Block', exact: true }).click();
    await until('the word is gone', async () => !(await viewer.lines()).includes('a Spoiler'));
    await hal.say('a sp\u200Boiler in disguise');
    await hal.say('the end');
    await viewer.sees('the end');
    assert.deepEqual((await viewer.lines()).slice(-2), ['nothing', 'the end']);
    await viewer.getByRole('button', { name: 'Unblock @ida' }).click();
    await viewer.getByRole('button', { name: 'Unblock ＳＰＯＩＬＥＲ' }).click();
    await until('all is back', async () => (await viewer.lines()).filter((line) => /spoil|it is me/i.test(line)).length === 4);
    viewer.clean();
  },

  async 'a name is completed, and what is answered is told'() {
    const [jan, kim] = [await somebody('jan'), await somebody('kim')];
    await jan.say('who is there');
    await kim.does('who is there', 'Reply');
    const field = kim.getByLabel('Say something');
    await field.pressSequentially('me, @ja');
    await kim.getByRole('option', { name: '@jan' }).waitFor();
    await field.press('Enter');
    assert.equal(await field.inputValue(), 'me, @jan ');
    await field.press('Enter');
    await jan.sees('me, @jan');
    await jan.getByRole('log').locator('.called .reply', { hasText: '@jan who is there' }).waitFor();
    jan.clean();
    kim.clean();
  },

  async 'an emote is chosen, and seen by all'() {
    if (!hasEmotes) return 'not tried: this server has none';
    const [rae, viewer] = [await somebody('rae'), await somebody(null)];
    const picker = rae.getByRole('button', { name: 'Emotes' });
    assert.equal(await picker.count(), 0, 'nothing to choose from');
    const owner = await (await browser.newContext()).newPage();
    people.push(Object.assign(owner, { complaints: [], failures: [] }));
    const headers = { origin: server.url };
    const { handle, password } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8')).admin;
    await owner.request.post(`${server.url}/api/v1/session`, { data: { handle, password }, headers });
    await owner.setContent('<body style="background: teal">');
    const picture = await owner.screenshot({ clip: { x: 0, y: 0, width: 96, height: 64 } });
    const added = await owner.request.post(`${server.url}/api/v1/channels/${server.handle}/emotes?code=wave`, { data: picture, headers });
    assert.ok(added.ok(), await added.text());
    await picker.click();
    await rae.getByRole('button', { name: ':wave:' }).click();
    const field = rae.getByLabel('Say something');
    assert.equal(await field.inputValue(), ':wave:');
    await field.pressSequentially(' hello :nope:');
    await field.press('Enter');
    const line = viewer.getByRole('log').locator('.text', { hasText: 'hello :nope:' });
    await line.getByRole('img', { name: ':wave:' }).waitFor();
    await until('its picture is there', () => line.locator('img').evaluate((image) => image.naturalWidth === 96));
    rae.clean();
    viewer.clean();
  },

  async 'who follows is counted, who shares is told, what is liked is counted'() {
    const [rui, viewer] = [await somebody('rui'), await somebody(null)];
    await viewer.getByText('Followers: 0').waitFor();
    assert.match(await viewer.getByRole('link', { name: /^Follow / }).getAttribute('href'), /^\/sign-in\?then=/);
    await rui.getByRole('button', { name: /^Follow / }).click();
    await rui.getByRole('button', { name: /^Stop following / }).waitFor();
    await viewer.getByText('rui follows the channel').waitFor();
    await viewer.getByText('Followers: 1').waitFor();
    await rui.getByRole('button', { name: 'Share' }).click();
    await rui.getByRole('button', { name: 'Address copied' }).waitFor();
    await viewer.getByText('rui shared the channel').waitFor();
    await rui.getByRole('button', { name: /^Stop following / }).click();
    await rui.getByText('Followers: 0').waitFor();
    assert.equal(await viewer.getByRole('button', { name: /^Like/ }).count(), 0, 'nothing is on');
    await goLive();
    await rui.getByRole('button', { name: 'Like · 0' }).click();
    await viewer.getByRole('button', { name: 'Like · 1' }).click();
    await rui.getByRole('button', { name: 'Like · 2' }).waitFor();
  },

  async 'what is deleted is told to the host, and to nobody else'() {
    const [host, sam, viewer] = [await somebody(null, { host: true }), await somebody('sam'), await somebody(null)];
    await sam.say('not so nice');
    await viewer.sees('not so nice');
    await host.does('not so nice', 'Delete');
    await host.getByText(/ deleted what sam said: not so nice$/).waitFor();
    await viewer.getByRole('log').getByText('not so nice').waitFor({ state: 'detached' });
    await sam.say('sorry');
    await viewer.sees('sorry');
    assert.equal(await viewer.getByText(/not so nice/).count(), 0);
  },

  async 'who is too fast sees when they may go on'() {
    const strict = await startServer({ settings: { 'https.listen': '', 'chat.user_burst': '1', 'chat.user_per_minute': '20' } });
    const leo = await somebody('leo', { at: strict });
    await leo.say('first');
    const field = leo.getByLabel('Say something');
    await field.fill('second');
    await field.press('Enter');
    const refusal = leo.locator('.refusal');
    await refusal.waitFor();
    const seconds = async () => Number(/\d+/.exec(await refusal.innerText().catch(() => '0'))?.[0]);
    const began = await seconds();
    assert.ok(began >= 2 && began <= 3, `${began} s`);
    assert.ok(await leo.getByRole('button', { name: 'Send' }).isDisabled());
    await until('the seconds pass', async () => (await seconds()) < began);
    await until('it is over', async () => (await refusal.count()) === 0);
    await field.press('Enter');
    await leo.sees('second');
    leo.clean();
    await strict.terminate();
  },

  async 'two hundred a second leave the page responsive, and what is read where it is'() {
    await goLive();
    const viewer = await somebody('mia');
    await viewer.plays();
    await viewer.evaluate(() => {
      globalThis.long = [];
      globalThis.told = [];
      new MutationObserver((changes) => globalThis.told.push(...changes.flatMap(({ addedNodes }) => [...addedNodes]).map((one) => one.textContent))).observe(
        document.querySelector('.chat [aria-live=polite]'),
        { childList: true },
      );
      new PerformanceObserver((list) => globalThis.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
    });
    const crowd = await crowdSpeaks(['nia', 'oto', 'pia', 'quy'], 200);
    const look_of_column = () =>
      viewer.evaluate(() => {
        const { scrollHeight, scrollTop, clientHeight } = document.querySelector('.lines');
        return `${scrollHeight} px, ${clientHeight} of them seen from ${scrollTop}: ${document.querySelector('.chat').innerText.slice(-300)}`;
      });
    const full = async () => (await viewer.evaluate(() => document.querySelector('.lines').scrollHeight)) > 29 * 1_000;
    await until('the column is full', full, 30_000).catch(async ({ message }) => {
      throw new Error(`${message}; the crowd: ${await crowd.tell()}; the column: ${await look_of_column()}`);
    });
    await until('some are left out over the picture', async () => Number(await viewer.over('dropped')) > 100);
    const drawn = await viewer.locator('.lines .line').count();
    assert.ok(drawn < 120, `${drawn} lines are drawn`);
    const list = viewer.locator('.lines');
    await list.hover();
    await viewer.mouse.wheel(0, -600);
    const more = viewer.locator('.more');
    await more.waitFor();
    const look = () =>
      list.evaluate((lines) => {
        const { top } = lines.getBoundingClientRect();
        const first = [...lines.querySelectorAll('.line')].find((line) => line.getBoundingClientRect().top >= top);
        return `${first.dataset.key} at ${Math.round(first.getBoundingClientRect().top - top)}`;
      });
    const read = await until('scrolling has ended', async () => {
      const [one, other] = [await look(), (await viewer.evaluate(() => new Promise(requestAnimationFrame)), await look())];
      return one === other && one;
    });
    const unread = async () => Number(/\d+/.exec(await more.innerText())[0]);
    await until('as many wait as the column holds', async () => (await unread()) === 1_000);
    assert.equal(await look(), read, 'what is read stays where it is');
    await more.click();
    await more.waitFor({ state: 'detached' });
    await viewer.say('mine among them all');
    const { long, told } = await viewer.evaluate(() => ({ long: globalThis.long, told: globalThis.told.filter(Boolean) }));
    assert.ok(told.some((text) => /^\d+ more messages$/.test(text)), `${told}`);
    assert.ok(told.length < 20, `a screen reader is told ${told.length} things`);
    const count = await crowd.stop();
    await viewer.say('the last word');
    await viewer.sees('the last word');
    const worst = Math.round(Math.max(0, ...long));
    assert.ok(worst < 500, `a task of ${worst} ms`);
    viewer.clean();
    return `${count} said, ${drawn} lines drawn, ${long.length} long tasks, the longest ${worst} ms, ${told.length} things told to screen readers`;
  },

  async 'who was away hears what was missed, once'() {
    const [cat, viewer] = [await somebody('cat'), await somebody(null)];
    await cat.say('before');
    await viewer.sees('before');
    await server.kill();
    await viewer.getByText('The connection to the chat broke').waitFor();
    server = await startServer({ before: server, settings: FREE });
    // Only one of the two is let back at first.
    await viewer.context().setOffline(true);
    await until('cat can speak again', async () => (await cat.getByText('The connection to the chat broke').count()) === 0, 60_000);
    await cat.say('meanwhile');
    await viewer.context().setOffline(false);
    await viewer.sees('meanwhile');
    const lines = await viewer.lines();
    assert.deepEqual(lines.slice(-2), ['before', 'meanwhile']);
    assert.equal(new Set(lines).size, lines.length, `${lines}`);
  },

  async 'a page that is loaded again has the super chats that are paid for, and the last gifts, once'() {
    const [una, viewer] = [await somebody('una'), await somebody(null)];
    await buysCoins(una, '30');
    await gives(una, { key: 'a', gift: 'rose', count: 3 });
    await gives(una, { key: 'b', gift: 'super_chat', coins: 50, text: 'play it again' });
    const has = async (page) => {
      await page.locator('.pins li').getByText('play it again').waitFor();
      await page.getByRole('log').getByText('Rose ×3').waitFor();
      await page.sees('play it again');
      return [await page.locator('.pins li').count(), await page.getByRole('log').locator('.line .gift').count()];
    };
    assert.deepEqual(await has(viewer), [1, 2]);
    await viewer.reload();
    assert.deepEqual(await has(viewer), [1, 2], 'after a reload');
    await gives(una, { key: 'c', gift: 'rose', count: 2 });
    await viewer.getByRole('log').getByText('Rose ×2').waitFor();
    await viewer.reload();
    await viewer.getByRole('log').getByText('Rose ×2').waitFor();
    assert.deepEqual(await has(viewer), [1, 3], 'after another');
    await server.kill();
    await viewer.getByText('The connection to the chat broke').waitFor();
    await viewer.context().setOffline(true);
    server = await startServer({ before: server, settings: FREE });
    await gives(una, { key: 'd', gift: 'super_chat', coins: 30, text: 'and once more' });
    await viewer.context().setOffline(false);
    await viewer.locator('.pins li').getByText('and once more').waitFor({ timeout: 60_000 });
    assert.deepEqual(await has(viewer), [2, 4], 'after a break');
  },

  async 'coins are bought once, also across a reload, and are there when one is back in the room'() {
    const wes = await somebody('wes');
    await wes.getByRole('link', { name: 'Get coins' }).click();
    // The first press arrives, and its answer does not.
    await wes.route('**/api/v1/wallet/top-ups', async (route) => {
      if (route.request().method() !== 'POST') return route.fallback();
      await route.fetch();
      return route.abort();
    });
    const pack = wes.getByRole('button', { name: '300 coins' });
    await pack.click();
    await wes.getByRole('alert').filter({ hasText: /./ }).waitFor();
    await wes.unroute('**/api/v1/wallet/top-ups');
    await wes.reload();
    await pack.click();
    await wes.getByRole('link', { name: 'Pay later' }).click();
    await wes.getByText('Not paid yet').waitFor();
    assert.equal(await wes.getByRole('link', { name: 'Continue paying' }).count(), 1);
    await wes.getByRole('link', { name: 'Continue paying' }).click();
    await wes.getByRole('button', { name: 'Pay' }).click();
    await wes.waitForURL(server.room);
    await wes.locator('.purse .coins').getByText('300').waitFor();
  },

  'what is said about a picture is not shown before it, whoever is how far behind': () => saidAboutPictures('dan', 'low', 'ws-flv'),

  'and who speaks over WebRTC is heard with the picture as well': () => saidAboutPictures('eve', 'auto', 'webrtc'),
};

/** Somebody near to live says something, which somebody on LL-HLS sees with the same picture. */
async function saidAboutPictures(handle, nearest, way) {
  publisher = publishCoded(server);
  await server.isLive();
  const [near, far] = [await somebody(handle, { delay: nearest, coded: true }), await somebody(null, { delay: 'standard', coded: true })];
  await near.playsOver(way);
  await far.playsOver('ll-hls');
  await far.delayWithin(2_000);
  // Low delay begins with what has gathered, and catches up. Who is past a picture sees at once what is said about it.
  const delay = async (page) => Number(await page.attribute('data-delay-ms'));
  await until('who speaks is nearer to live', async () => (await delay(near)) + 100 < (await delay(far)), 40_000);
  let waited = 0;
  for (let n = 0; n < WORDS; n += 1) {
    await near.say(`picture ${n}`);
    const said = Date.now();
    await until('it is shown', async () => (await far.over('drawn')) === String(n + 1), 10_000);
    waited += Date.now() - said;
  }
  const { said } = await near.evaluate(() => globalThis.pictures);
  const { drawn } = await far.evaluate(() => globalThis.pictures);
  assert.equal(said.length, WORDS);
  const off = said.map((picture, n) => drawn[n] - picture);
  const all = `${off.join(', ')} ms after the pictures about which it was said`;
  // One is drawn with the page's next frame, which comes late where this machine is busy; never before its picture.
  assert.ok(Math.min(...off) >= -EARLY_MAX_MS, all);
  // Over WebRTC the element has no clock of its own: what is read off it is the last picture, as old as that is.
  const apart = APART_MAX_MS + (way === 'webrtc' ? EARLY_MAX_MS : 0);
  assert.ok([...off].sort((a, b) => a - b)[Math.floor(WORDS / 2)] <= apart, all);
  return `${all}, which came ${Math.round(waited / WORDS)} ms after they were sent`;
}

const failed = await runCases(cases, {
  about: () => [
    ...people.map((page) => `page: ${[...page.complaints, ...page.failures.slice(-5)].join(' | ') || 'no complaints'}`),
    ...lastLines('server', server.log()),
  ],
  async after() {
    for (const page of people.splice(0)) await page.context().close();
    await publisher?.stop();
    publisher = null;
  },
});
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
