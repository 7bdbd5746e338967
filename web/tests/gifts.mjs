// Gifts: the real server with the sandbox of payments, somebody who gives in Chromium, and somebody who looks on in Firefox.
// `npm run gifts`; BARRAGE_BIN names another binary, WEB_DIST a directory to take Chromium's pages from.

import assert from 'node:assert/strict';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { FREE } from './crowd.mjs';
import { openFirefox } from './firefox.mjs';
import { atTheShelf, inWallet, order, pay, readGifts, signUp } from './giver.mjs';
import { startServer, until } from './server.mjs';
import { openViewer } from './viewer.mjs';

const BOUGHT = 300;
const LANTERN = 66;
const SUPER_CHAT = 50;
const COMBO = 12;
/** Pressed before the server dies, with answers that do not arrive, and while it is gone. */
const UNANSWERED = 10;
const GONE = 5;

let server = await startServer({ settings: FREE });
const chromium = await openBrowser();
const firefox = await openFirefox();

const context = await chromium.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
await pagesFromDist(context);
const ann = await openViewer(context);
await ann.addInitScript(hearNothingWhileDeaf);
const viewer = await firefox.newPage();
await viewer.setViewport({ width: 1280, height: 800 });
let shelf;
/** The same person's phone: another page of the same session. */
let phone;
let phoneShelf;
/** What is in the wallet, and how many times something was given. */
let left = BOUGHT;
let given = 0;

/** In a page: what the server says is lost on the way while `deaf`. */
function hearNothingWhileDeaf() {
  globalThis.WebSocket = class extends WebSocket {
    constructor(...rest) {
      super(...rest);
      this.addEventListener('message', (event) => globalThis.deaf && event.stopImmediatePropagation());
    }
  };
}

const seenBy = (page) => page.evaluate(readGifts);
const text = (page, selector) => page.evaluate((where) => [...document.querySelectorAll(where)].map((one) => one.textContent.trim()).join(' | '), selector);

/** Both read these last in the chat. */
async function bothSee(...lines) {
  for (const [who, page] of Object.entries({ giver: ann, other: viewer })) {
    let now;
    await until(`the ${who} sees ${lines}`, async () => {
      now = await seenBy(page);
      return JSON.stringify(now.slice(-lines.length)) === JSON.stringify(lines);
    }).catch((error) => {
      throw new Error(`${error.message}; what is there: ${now?.join(', ')}`);
    });
  }
}

/** How many roses stand in somebody's chat. */
const roses = async (page) => (await seenBy(page)).flatMap((line) => /Rose ×(\d+)/.exec(line)?.[1] ?? []).reduce((sum, n) => sum + Number(n), 0);

/** The transactions of gifts in the ledger, as it is exported. */
function entered() {
  const [head, ...rows] = server.tell('ledger', 'export', '--format', 'csv').trim().split('\n').map((line) => line.split(','));
  const of = (row, name) => row[head.indexOf(name)];
  return new Set(rows.filter((row) => of(row, 'code') === 'gift').map((row) => of(row, 'transaction'))).size;
}

const steps = {
  async 'coins are there once they are paid for, and not before'() {
    await signUp(ann, server, 'ann', '/wallet');
    await until('the wallet is there', async () => (await ann.locator('.balance').count()) === 1);
    assert.equal(await inWallet(ann), 0);
    await order(ann, BOUGHT);
    await ann.getByRole('button', { name: 'Decline' }).click();
    await ann.waitForURL(/\/wallet(\?|$)/);
    await ann.locator('.balance').waitFor();
    assert.equal(await inWallet(ann), 0);
    await order(ann, BOUGHT);
    await pay(ann);
    await until('the coins are there', async () => (await inWallet(ann)) === BOUGHT);
  },

  async 'a gift is seen in another browser, in the chat and over the picture, and is paid for'() {
    await viewer.goto(server.room);
    await viewer.waitForSelector('[role=log]');
    await ann.goto(server.room);
    shelf = await atTheShelf(ann);
    await shelf.has(BOUGHT);
    await shelf.give('Sky lantern');
    await until('it is over the other’s picture', async () => /ann.*Sky lantern.*×1/s.test(await text(viewer, '.layer .card')));
    await until('and over one’s own', async () => /ann.*Sky lantern.*×1/s.test(await text(ann, '.layer .card')));
    given += 1;
    left -= LANTERN;
    await bothSee('ann 🏮 Sky lantern ×1');
    await shelf.has(left);
  },

  async 'presses of a combo are one line, and each counts once'() {
    for (let n = 0; n < COMBO; n += 1) await shelf.give('Rose');
    given += COMBO;
    left -= COMBO;
    await bothSee('ann 🏮 Sky lantern ×1', `ann 🌹 Rose ×${COMBO}`);
    await shelf.has(left);
  },

  async 'a super chat stands pinned for both'() {
    await shelf.shelf.getByRole('button', { name: 'Super chat', exact: true }).click();
    await ann.getByLabel('Your message').fill('to the rain!');
    await shelf.shelf.getByRole('button', { name: String(SUPER_CHAT), exact: true }).click();
    await shelf.shelf.getByRole('button', { name: `Send for ${SUPER_CHAT} coins` }).click();
    given += 1;
    left -= SUPER_CHAT;
    for (const page of [ann, viewer]) {
      await until('it is pinned', async () => /ann.*50 coins.*to the rain!/s.test(await text(page, '[aria-label="Pinned super chats"] li')));
    }
    await bothSee('ann 💬 Super chat ×1 to the rain!');
    await shelf.has(left);
    assert.equal(await ann.getByLabel('Your message').count(), 0, 'the form is put away');
  },

  async 'two pages of one person show the same balance, whichever of them gives'() {
    phone = await openViewer(context);
    await phone.setViewportSize({ width: 390, height: 844 });
    await phone.goto(server.room);
    await phone.getByRole('button', { name: 'Gifts', exact: true }).click();
    phoneShelf = await atTheShelf(phone);
    await phoneShelf.has(left);
    for (const from of [shelf, phoneShelf]) {
      await from.give('A cup of tea');
      given += 1;
      left -= 10;
      await shelf.has(left);
      await phoneShelf.has(left);
    }
    await bothSee('ann 🍵 A cup of tea ×1', 'ann 🍵 A cup of tea ×1');
    await phone.close();
  },

  async 'a server that dies amid gifts has each of them once when it is back'() {
    const before = await roses(viewer);
    await ann.evaluate(() => (globalThis.deaf = true));
    for (let n = 0; n < UNANSWERED; n += 1) await shelf.give('Rose');
    await until('they are given', async () => (await roses(viewer)) === before + UNANSWERED);
    assert.equal(await roses(ann), before, 'their giver does not know');
    await server.kill();
    await ann.evaluate(() => (globalThis.deaf = false));
    for (let n = 0; n < GONE; n += 1) await shelf.give('Rose');
    await shelf.shelf.getByText(/^On the way: /).waitFor();
    server = await startServer({ before: server, settings: FREE });
    await shelf.shelf.getByText(/^On the way: /).waitFor({ state: 'detached', timeout: 60_000 });
    const more = UNANSWERED + GONE;
    given += more;
    left -= more;
    await shelf.has(left);
    for (const page of [ann, viewer]) await until('each rose is seen', async () => (await roses(page)) >= before + more, 60_000);
    // One that was doubled would come before what is given now.
    await shelf.give('Applause');
    given += 1;
    left -= 2;
    await bothSee('ann 👏 Applause ×1');
    assert.deepEqual([await roses(ann), await roses(viewer)], [before + more, before + more]);
    await shelf.has(left);
  },

  async 'what was seen is what is in the ledger, and what is left in the wallet'() {
    assert.equal(entered(), given);
    // It fails where something is not right.
    server.tell('ledger', 'verify');
    await ann.goto(`${server.url}/wallet`);
    await until('the wallet says so', async () => (await inWallet(ann)) === left);
  },
};

const failed = await runCases(steps, {
  inOrder: true,
  about: () => [`page: ${[...(ann.complaints ?? []), ...(ann.failures ?? []).slice(-5)].join(' | ') || 'no complaints'}`, ...lastLines('server', server.log())],
});
await firefox.close();
await chromium.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
