// From a stranger to a streamer, and what operators do about one: the real server, ffmpeg with the key from the studio, the
// pages in Chromium. `npm run journeys`; BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { lastLines, runCases } from './cases.mjs';
import { publish, startServer, until } from './server.mjs';

const PASSWORD = 'a lamp under seven rivers';
const REASON = 'This is not allowed here';
const MINOR = 'His mother wrote: he is eleven';
/** A broadcast whose publisher was shown out waits for another this long, and is over. */
const GRACE_MS = 4_000;
/** How long a publisher may take to be gone once it was shown out. */
const SHOWN_OUT_MS = 10_000;

const server = await startServer({ settings: { 'https.listen': '', 'ingest.grace_ms': String(GRACE_MS) } });
const { admin } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8'));
const browser = await openBrowser();
const complaints = [];

/** A browser of somebody's. */
async function visitor(who) {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
  await pagesFromDist(context);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`${who}: ${error.message}`));
  page.on('console', (message) => {
    // A playlist that ended with its broadcast, a picture that is not there yet, and what is refused.
    if (message.type() === 'error' && !/status of 4(01|04|09|22)/.test(message.text())) complaints.push(`${who}: ${message.text()}`);
  });
  return page;
}

const open = (page, path) => page.goto(server.url + path);
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
async function fill(page, values) {
  for (const [name, value] of Object.entries(values)) await page.locator(`[name=${name}]`).fill(value);
}

const media = (page) =>
  page.evaluate(() => {
    const video = document.querySelector('video');
    return { frames: video.getVideoPlaybackQuality().totalVideoFrames, time: video.currentTime, width: video.videoWidth };
  });

/** Pictures are decoded, and time goes on. */
async function plays(page) {
  await page.waitForSelector('[data-state=playing]', { state: 'attached', timeout: 30_000 });
  const from = await media(page);
  await until('frames are decoded and time advances', async () => {
    const now = await media(page);
    if (now.frames < from.frames || now.time < from.time) Object.assign(from, now);
    return now.frames >= from.frames + 40 && now.time >= from.time + 1.5;
  }, 30_000);
  assert.ok((await media(page)).width > 0);
}

const monitor = (page, state, timeout = 20_000) => page.waitForSelector(`.monitor[data-live=${state}]`, { timeout });
const goLive = (key) => publish({ publishUrl: `rtmp://127.0.0.1:${server.rtmp}/live/${key}` });
/** ffmpeg ends by itself once the server has shown it out. */
const isShownOut = (publisher) =>
  until('the publisher is gone', () => publisher.child.exitCode !== null || publisher.child.signalCode !== null, SHOWN_OUT_MS);

/** So many of a gift, from a room's bar to @mei. */
async function give(name, count) {
  await open(viewer, '/@mei');
  const gift = viewer.getByRole('button', { name: new RegExp(`^${name}`) });
  await until('gifts can be given', async () => (await gift.count()) > 0 && (await gift.isEnabled()));
  await viewer.locator('.counts').getByText(`×${count}`, { exact: true }).click();
  await gift.click();
}
const coinsOf = (page, count) => page.locator('.purse .coins').filter({ hasText: new RegExp(`^${count}`) }).waitFor();
async function lookUp(handle) {
  await fill(operator, { handle });
  await press(operator, 'Look up');
}

const mei = await visitor('mei');
const viewer = await visitor('viewer');
const operator = await visitor('operator');
let publisher;
let key;

const steps = {
  async 'a stranger signs up, and becomes a streamer in the studio'() {
    await open(mei, '/');
    await mei.getByRole('link', { name: 'Go live' }).click();
    await mei.waitForURL(/\/sign-in\?then=%2Fstudio$/);
    await mei.getByRole('link', { name: 'Sign up' }).click();
    await fill(mei, { handle: 'mei', password: PASSWORD });
    await press(mei, 'Make the account');
    await mei.getByRole('heading', { name: 'Make your channel' }).waitFor();
    await fill(mei, { name: 'Mei cooks' });
    await press(mei, 'Make the channel');
    await monitor(mei, 'offline');
    await mei.getByText('No stream key opens your channel').waitFor();
  },

  async 'makes a key, which is hidden until it is shown and can be copied unseen'() {
    await mei.getByRole('link', { name: 'Make a stream key' }).click();
    await fill(mei, { name: 'the laptop' });
    await press(mei, 'Make a key');
    key = await mei.locator('[data-key="the laptop"] code').innerText();
    assert.match(key, /^bk_\w+$/);
    await mei.getByRole('navigation').getByRole('link', { name: 'Live', exact: true }).click();
    const server_line = await mei.locator('dd code').first().innerText();
    assert.match(server_line, /^rtmp:\/\/127\.0\.0\.1(:\d+)?\/live$/);
    const hidden = mei.locator('dd code').nth(1);
    assert.doesNotMatch(await hidden.innerText(), /bk_/);
    await press(mei, 'Copy the key “the laptop”');
    await mei.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(await mei.evaluate(() => navigator.clipboard.readText()), key);
    assert.doesNotMatch(await hidden.innerText(), /bk_/);
    await press(mei, 'Show the key “the laptop”');
    assert.equal((await hidden.innerText()).trim(), key);
    await press(mei, 'Hide the key “the laptop”');
    assert.doesNotMatch(await hidden.innerText(), /bk_/);
  },

  async 'goes live with it, and sees what arrives'() {
    publisher = goLive(key);
    await monitor(mei, 'live', 30_000);
    await plays(mei);
    assert.equal(await mei.locator('.player').getAttribute('data-muted'), 'true', 'the preview is silent');
    await until('the figures are told', async () => /\d/.test(await mei.locator('.monitor .bitrate .value').innerText()));
    assert.match(await mei.locator('.monitor .picture .value').innerText(), /640 × 360/);
  },

  async 'says what is on, and somebody else finds and watches it'() {
    await mei.getByRole('navigation').getByRole('link', { name: 'Channel' }).click();
    await fill(mei, { title: 'Dumplings for forty', category: 'Cooking', tags: '#dumplings, 面点' });
    await press(mei, 'Save');
    await mei.getByText('Saved. Viewers see it now.').waitFor();
    await mei.getByText('You are live. End the broadcast to change the address.').waitFor();
    await open(viewer, '/');
    const tile = viewer.locator('a.tile', { hasText: 'Dumplings for forty' });
    await tile.waitFor();
    await tile.locator('img').waitFor({ timeout: 30_000 });
    await tile.click();
    await viewer.waitForURL('**/@mei');
    await plays(viewer);
    await viewer.getByRole('heading', { name: 'Dumplings for forty' }).waitFor();
    await monitor(mei, 'live');
    await until('the viewer is counted', async () => Number(await mei.locator('.monitor .viewers .value').innerText()) >= 1);
  },

  async 'adds an emote from a file, and deletes it'() {
    await mei.getByRole('navigation').getByRole('link', { name: 'Emotes' }).click();
    const choose = (buffer) => mei.setInputFiles('[name=picture]', { name: 'Steamed Bun.png', mimeType: 'image/png', buffer });
    await choose(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'));
    await press(mei, 'Add the emote');
    await mei.getByText('This is no picture that can be read whole.').waitFor();
    await choose(await mei.screenshot({ clip: { x: 0, y: 0, width: 96, height: 64 } }));
    await press(mei, 'Add the emote');
    await mei.getByText(':steamed_bun: can be used in your room now.').waitFor();
    const shown = mei.locator('[data-emote=steamed_bun] img');
    await until('its picture is there', () => shown.evaluate((image) => image.naturalWidth === 96));
    await press(mei, 'Delete :steamed_bun:');
    await press(mei, 'Delete it');
    await mei.getByText(':steamed_bun: was deleted.').waitFor();
    await mei.getByText('No emotes yet').waitFor();
  },

  async 'makes a webhook, which cannot be inside'() {
    await mei.getByRole('navigation').getByRole('link', { name: 'Channel' }).click();
    await mei.getByRole('link', { name: 'Open the webhooks' }).click();
    await fill(mei, { url: 'http://127.0.0.1:22/' });
    await press(mei, 'Make the webhook');
    await mei.getByText('This address is not on the open internet.').waitFor();
    await fill(mei, { url: 'http://localhost:9/hook' });
    await press(mei, 'Make the webhook');
    await mei.getByText(/^whsec_\S+$/).waitFor();
    await press(mei, 'Test http://localhost:9/hook');
    await mei.getByText('This address is not on the open internet.').waitFor();
    await press(mei, 'Remove http://localhost:9/hook');
    await press(mei, 'Remove it');
    await mei.getByText('No webhooks yet').waitFor();
  },

  async 'revokes the key: the publisher is shown out, and the studio says so'() {
    await mei.getByRole('navigation').getByRole('link', { name: 'Stream keys' }).click();
    await press(mei, 'Revoke the key “the laptop”');
    await mei.getByRole('dialog').getByText('shown out at once').waitFor();
    await press(mei, 'Revoke it');
    await mei.getByText('“the laptop” was revoked. Whoever published with it was shown out.').waitFor();
    await isShownOut(publisher);
    await mei.getByText('No stream keys').waitFor();
    await mei.getByRole('navigation').getByRole('link', { name: 'Live', exact: true }).click();
    await mei.getByText('The stream key was revoked or replaced').waitFor();
    await until('the broadcast is not live any more', async () => (await mei.locator('.monitor').getAttribute('data-live')) !== 'live');
    await monitor(mei, 'offline', GRACE_MS + 20_000);
    await mei.getByText('The broadcast has ended: Its key was revoked').waitFor();
    const again = goLive(key);
    await isShownOut(again);
    await mei.getByRole('navigation').getByRole('link', { name: 'Broadcasts' }).click();
    const row = mei.locator('tbody tr', { hasText: 'Dumplings for forty' });
    await row.getByText('Its key was revoked').waitFor();
  },

  async 'an operator ends a broadcast with a reason, which its streamer reads'() {
    await open(mei, '/studio/keys');
    await fill(mei, { name: 'another' });
    await press(mei, 'Make a key');
    publisher = goLive(await mei.locator('[data-key=another] code').innerText());
    await monitor(mei, 'live', 30_000);

    await open(operator, '/admin');
    await fill(operator, { handle: admin.handle, password: admin.password });
    await press(operator, 'Sign in');
    await press(operator, 'End the broadcast of @mei');
    await press(operator, 'End it');
    await operator.getByText('Fill this in.').waitFor();
    await fill(operator, { reason: REASON });
    await press(operator, 'End it');
    await operator.getByText('The broadcast of @mei was ended.').waitFor();
    await isShownOut(publisher);
    await monitor(mei, 'offline');
    await mei.getByText(`The broadcast has ended: ${REASON}`).waitFor();
    await mei.getByRole('navigation').getByRole('link', { name: 'Broadcasts' }).click();
    await mei.locator('tbody tr').first().getByText(REASON).waitFor();
  },

  async 'somebody buys coins and gives a gift, which an operator takes back with a reason'() {
    await open(viewer, '/sign-up?then=/wallet');
    await fill(viewer, { handle: 'hao', password: PASSWORD });
    await press(viewer, 'Make the account');
    await viewer.getByRole('button', { name: /^60 coins/ }).click();
    await viewer.waitForURL('**/pay/*');
    await viewer.getByRole('button', { name: /^Pay / }).click();
    await viewer.getByText('This is paid. The coins are in your wallet.').waitFor();
    await give('Rose', 10);
    await coinsOf(viewer, 50);

    await operator.getByRole('navigation').getByRole('link', { name: 'Money' }).click();
    await lookUp('nobody_at_all');
    await operator.getByText('Nobody has this handle.').waitFor();
    await lookUp('@Hao');
    const coins = operator.locator('[data-balance=coins]');
    await coins.filter({ hasText: /^50$/ }).waitFor();
    await operator.locator('[data-line=top_up]').getByText('+60', { exact: true }).waitFor();
    await press(operator, 'Take back: Rose ×10 for @mei');
    await press(operator, 'Take it back');
    await operator.getByRole('dialog').getByText('Fill this in.').waitFor();
    await operator.getByLabel('Minor', { exact: false }).check();
    await fill(operator, { reason: 'a' });
    await press(operator, 'Take it back');
    await operator.getByText('At least 3 characters.').waitFor();
    await fill(operator, { reason: MINOR });
    await press(operator, 'Take it back');
    await operator.getByText('The gift was taken back.').waitFor();
    await coins.filter({ hasText: /^60$/ }).waitFor();
    await operator.locator('[data-line=minor_refund]').getByText('+10', { exact: true }).waitFor();
    const gift = operator.locator('[data-line=gift]');
    await gift.getByText('taken back', { exact: true }).waitFor();
    assert.equal(await gift.getByRole('button').count(), 0, 'it is taken back once');
    const note = operator.locator('[data-note=reversal]');
    await note.getByText(MINOR).waitFor();
    await note.getByText(`@${admin.handle}`).waitFor();
    await coinsOf(viewer, 60);
  },

  async 'freezes the wallet, which its owner is told, and frees it again'() {
    await press(operator, 'Freeze');
    await fill(operator, { reason: 'Asked for by the bank' });
    await press(operator, 'Freeze it');
    await operator.getByText('Frozen: nothing can be spent from it.').waitFor();
    await operator.locator('[data-note=freeze]').getByText('@hao').waitFor();
    await viewer.getByText('Your wallet is frozen').waitFor();
    assert.equal(await viewer.getByRole('button', { name: /^Rose/ }).isDisabled(), true);
    await press(operator, 'Unfreeze');
    await fill(operator, { reason: 'Settled with the bank' });
    await press(operator, 'Unfreeze it');
    await operator.getByText('Can be spent from.').waitFor();
    await until('gifts can be given again', () => viewer.getByRole('button', { name: /^Rose/ }).isEnabled());
  },

  async 'changes how gifts are shared, and the next is shared so'() {
    await operator.getByRole('link', { name: 'Contracts' }).click();
    await fill(operator, { name: 'Evening Wind' });
    await press(operator, 'Add the agency');
    await operator.locator('[data-agency="Evening Wind"]').waitFor();
    await fill(operator, { name: 'Evening Wind' });
    await press(operator, 'Add the agency');
    await operator.getByText('This name is taken. Choose another.').waitFor();

    await lookUp('mei');
    await operator.getByText('the one that all channels have').waitFor();
    await press(operator, 'Change the contract');
    await operator.getByRole('combobox').selectOption('Evening Wind');
    await fill(operator, { streamer_bp: '70', agency_bp: '30.01', reason: 'Agreed on' });
    await press(operator, 'Save as a new version');
    await operator.getByRole('dialog').getByText('These are 100.01% together').waitFor();
    await fill(operator, { agency_bp: '10' });
    await operator.getByText('This server keeps the rest: 20%.').waitFor();
    await press(operator, 'Save as a new version');
    await operator.getByText('the channel’s own').waitFor();
    await give('Rose', 10);
    await coinsOf(viewer, 50);

    await open(mei, '/studio/earnings');
    await mei.getByText('Agency Evening Wind').waitFor();
    // The latest first: what was given under the new contract, and what was given and taken back under the other.
    const yours = () => mei.locator('tbody tr', { hasText: '@hao' }).locator('[data-label=Yours]').allInnerTexts();
    await until('both gifts are listed', async () => (await yours()).length >= 2);
    assert.deepEqual((await yours()).filter((text) => text.startsWith('+')), ['+7', '+5']);
    await operator.getByRole('link', { name: 'Wallets' }).click();
    await operator.locator('[data-note=contract]').getByText('Agreed on').waitFor();
  },

  async 'gives a payment back'() {
    await lookUp('hao');
    await operator.getByRole('button', { name: /^Refund CN¥6\.00/ }).click();
    await fill(operator, { reason: 'Bought by mistake' });
    await press(operator, 'Refund it');
    await operator.getByText('The payment was given back.').waitFor();
    await operator.locator('[data-state=refunded]').waitFor();
    await operator.locator('[data-note=refund]').getByText('Bought by mistake').waitFor();
    await operator.locator('[data-balance=coins]').filter({ hasText: /^0$/ }).waitFor();
  },

  async 'an operator closes an account, and opens it again'() {
    // This page asks the server by itself.
    await mei.getByRole('navigation').getByRole('link', { name: 'Broadcasts' }).click();
    await mei.locator('tbody tr').first().getByText(REASON).waitFor();
    await operator.getByRole('navigation').getByRole('link', { name: 'People' }).click();
    await operator.getByRole('searchbox').fill('me');
    await operator.locator('tr[data-user=mei]').waitFor();
    await until('only those are left', async () => (await operator.locator('tbody tr').count()) === 1);
    await press(operator, 'Change the account of @mei');
    await fill(operator, { disabled: 'Advertising' });
    await press(operator, 'Close the account');
    await operator.getByText('Closed: Advertising').waitFor();
    await mei.waitForURL(/\/sign-in/, { timeout: 20_000 });
    await press(operator, 'Change the account of @mei');
    await press(operator, 'Open it again');
    await operator.getByText('The account of @mei is open again.').waitFor();
  },

  async 'and sees how the server does'() {
    await operator.getByRole('navigation').getByRole('link', { name: 'Configuration' }).click();
    await operator.getByRole('searchbox').fill('grace');
    await operator.locator('dl div', { hasText: 'ingest.grace_ms' }).getByText(String(GRACE_MS)).waitFor();
    await operator.getByRole('navigation').getByRole('link', { name: 'Health' }).click();
    await operator.locator('tr[data-part=database]').getByText('Works').waitFor();
  },
};

let failed = await runCases(steps, {
  inOrder: true,
  about: () => [
    ...[mei, viewer, operator].map((page) => page.url()),
    ...lastLines('ffmpeg', publisher?.log() ?? '', 3),
    ...lastLines('server', server.log()),
  ],
});
if (complaints.length > 0) {
  failed += 1;
  console.log(`FAIL  the console was not silent: ${complaints.join(' | ')}`);
}
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
