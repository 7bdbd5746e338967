// What is said in a room: the real server, ffmpeg as the publisher, several people in Chromium. `npm run chat [-- NAME…]`;
// BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from.

import assert from 'node:assert/strict';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { publish, startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

const wanted = process.argv.slice(2);
const PASSWORD = 'a lamp under seven rivers';

let server = await startServer({ settings: { 'https.listen': '', 'chat.user_burst': '100' } });
const browser = await openBrowser();
const people = [];

/** Somebody in a browser of their own; with a handle, signed in. */
async function somebody(handle, { low = false } = {}) {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  await pagesFromDist(context);
  const page = await openViewer(context);
  people.push(page);
  if (low) await page.addInitScript(() => localStorage.setItem('barrage.delay', 'low'));
  if (handle) {
    const answer = await page.request.post(`${server.url}/api/v1/account`, {
      data: { handle, password: PASSWORD },
      headers: { origin: server.url },
    });
    assert.equal(answer.status(), 201, await answer.text());
    await page.addInitScript(() => localStorage.setItem('barrage.signed_in', 'yes'));
  }
  await page.goto(server.room);
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
    over: (name) => page.locator('canvas.danmaku').getAttribute(`data-${name}`),
  });
}

const cases = {
  async 'what one says the others see, in the column and over the picture'() {
    const publisher = publish(server);
    await server.isLive();
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
    await ann.getByRole('log').getByText('unseen', { exact: true }).hover();
    await ann.getByRole('button', { name: 'Delete “unseen”' }).click();
    await until('it is gone', async () => !(await viewer.lines()).includes('unseen'));
    viewer.clean();
    ann.clean();
    await publisher.stop();
  },

  async 'a key that chooses a word sends nothing'() {
    const bob = await somebody('bob');
    const field = bob.getByLabel('Say something');
    await field.fill('ni hao');
    await field.evaluate((one) => one.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true })));
    assert.equal(await field.inputValue(), 'ni hao');
    await field.fill('x'.repeat(101));
    await bob.getByText('-1', { exact: true }).waitFor();
    assert.ok(await bob.getByRole('button', { name: 'Send' }).isDisabled());
    bob.clean();
  },

  async 'who was away hears what was missed, once'() {
    const [cat, viewer] = [await somebody('cat'), await somebody(null)];
    await cat.say('before');
    await viewer.sees('before');
    await server.kill();
    await viewer.getByText('The connection to the chat broke').waitFor();
    server = await startServer({ before: server, settings: { 'https.listen': '', 'chat.user_burst': '100' } });
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

  async 'what is said about a picture is not shown before it, whoever is how far behind'() {
    const publisher = publish(server);
    await server.isLive();
    const [near, far] = [await somebody('dan', { low: true }), await somebody(null)];
    await until('low delay', async () => (await near.attribute('data-protocol')) === 'ws-flv', 30_000);
    await far.plays();
    await near.plays();
    await far.delayWithin(2_000);
    const off = [];
    let waited = 0;
    for (let n = 0; n < 5; n += 1) {
      await near.say(`picture ${n}`);
      const said = Date.now();
      await until('it is shown', async () => (await far.over('drawn')) === String(n + 1), 10_000);
      waited += Date.now() - said;
      const [, mt, position] = (await far.over('latest')).split(' ').map(Number);
      off.push(Math.round((position - mt) / 1000));
    }
    assert.ok(off.every((ms) => ms >= 0), `${off} ms after their pictures`);
    await publisher.stop();
    return `${off.join(', ')} ms after their pictures, which came ${Math.round(waited / 5)} ms after they were sent`;
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const began = performance.now();
  try {
    const note = await run();
    console.log(`ok    ${name}${note ? ` (${note})` : ''} [${Math.round((performance.now() - began) / 1000)} s]`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${error.message}`);
    for (const page of people) console.log(`      page: ${[...page.complaints, ...page.failures.slice(-5)].join(' | ') || 'no complaints'}`);
    console.log(server.log().split('\n').slice(-8).join('\n').replace(/^/gm, '      server: '));
  } finally {
    for (const page of people.splice(0)) await page.context().close();
  }
}
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
