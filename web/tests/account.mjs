// People with accounts: the real server, and the pages in Chromium as somebody uses them.
// `npm run account`; BARRAGE_BIN names another binary, WEB_DIST a directory to take the pages from.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { runCases } from './cases.mjs';
import { openMailbox } from './mailbox.mjs';
import { startServer, until } from './server.mjs';

const PASSWORD = 'three blind mice sing loudly';
const OTHER_PASSWORD = 'a lamp under seven rivers';

let server = await startServer({ settings: { 'https.listen': '' } });
const { admin } = JSON.parse(readFileSync(join(server.directory, 'first-run.json'), 'utf8'));
const browser = await openBrowser();
const complaints = [];

/** A browser of somebody's. */
async function visitor() {
  const context = await browser.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
  await pagesFromDist(context);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // Chromium itself tells of each refusal; those are looked for on the page.
    if (message.type() === 'error' && !/status of 4(01|03|09|10|22)/.test(message.text())) complaints.push(message.text());
  });
  return page;
}

const at = (page, path) => page.waitForURL(server.url + path, { timeout: 10_000 });
const open = (page, path) => page.goto(server.url + path);
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const follow = (page, name) => page.getByRole('link', { name, exact: true }).click();
async function fill(page, values) {
  for (const [name, value] of Object.entries(values)) await page.locator(`[name=${name}]`).fill(value);
}
async function signIn(page, handle, password) {
  await fill(page, { handle, password });
  await press(page, 'Sign in');
}

const mei = await visitor();
const operator = await visitor();
/** Asks the server as the operator, from their page. */
const operate = (method, path, body) =>
  operator.evaluate(
    async ([method, path, body]) => {
      const sent = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
      const answer = await fetch(path, { method, ...sent });
      return answer.json().catch(() => null);
    },
    [method, path, body],
  );

const steps = {
  async 'a stranger is not asked about, and signs up where they wanted to go'() {
    let asked = 0;
    mei.on('request', (request) => (asked += request.url().endsWith('/api/v1/account') ? 1 : 0));
    await open(mei, '/');
    await mei.getByRole('link', { name: 'Sign in' }).waitFor();
    await mei.waitForTimeout(2_500);
    assert.equal(asked, 0);
    await open(mei, '/account/tokens');
    await at(mei, '/sign-in?then=%2Faccount%2Ftokens');
    await follow(mei, 'Sign up');
    await fill(mei, { handle: 'mei', password: 'password123' });
    await press(mei, 'Make the account');
    await mei.getByText('among the first that attackers try').waitFor();
    assert.equal(await mei.evaluate(() => document.activeElement.getAttribute('name')), 'password');
    await fill(mei, { handle: admin.handle, password: PASSWORD });
    await press(mei, 'Make the account');
    await mei.getByText('This handle is taken').waitFor();
    await fill(mei, { handle: '@Mei', email: 'mei@example.org' });
    await press(mei, 'Make the account');
    await at(mei, '/account/tokens');
    await mei.getByRole('button', { name: 'Your account: @mei' }).waitFor();
  },

  async 'signs out and in again, with the keyboard alone'() {
    await mei.getByRole('button', { name: 'Your account: @mei' }).focus();
    await mei.keyboard.press('ArrowUp');
    await mei.waitForFunction(() => document.activeElement.textContent.includes('Sign out'));
    await mei.keyboard.press('Enter');
    await at(mei, '/');
    await mei.getByRole('link', { name: 'Sign in' }).click();
    await fill(mei, { handle: '@mei', password: 'not this one' });
    await mei.keyboard.press('Enter');
    await mei.getByText('The handle or the password is wrong.').waitFor();
    await fill(mei, { password: PASSWORD });
    await mei.keyboard.press('Enter');
    await at(mei, '/');
    await mei.getByRole('button', { name: 'Your account: @mei' }).waitFor();
    await open(mei, '/sign-in?then=//evil.example/');
    await at(mei, '/');
  },

  async 'a token works until it is ended'() {
    await open(mei, '/account/tokens');
    await press(mei, 'Make a token');
    await mei.locator('dialog [name=name]').fill('title bot');
    await mei.locator('dialog [type=submit]').click();
    const secret = await mei.locator('dialog code').innerText();
    const ask = () => fetch(`${server.url}/api/v1/account`, { headers: { authorization: `Bearer ${secret}` } });
    assert.equal((await ask()).status, 200);
    await press(mei, 'I have copied it');
    await mei.getByText(secret).waitFor({ state: 'detached' });
    await press(mei, 'End the token title bot');
    await press(mei, 'End the token');
    await mei.getByText('No tokens yet').waitFor();
    assert.equal((await ask()).status, 401);
  },

  async 'a session that is ended elsewhere leads to signing in, and back'() {
    const phone = await visitor();
    await open(phone, '/sign-in?then=/account/sessions');
    await signIn(phone, 'mei', PASSWORD);
    await at(phone, '/account/sessions');
    await open(mei, '/account/sessions');
    await mei.getByRole('button', { name: /^End the session of/ }).click();
    await press(mei, 'End the session');
    await mei.getByRole('button', { name: /^End the session of/ }).waitFor({ state: 'detached' });
    await phone.getByRole('link', { name: 'API tokens' }).click();
    await at(phone, '/sign-in?then=%2Faccount%2Ftokens');
    await signIn(phone, 'mei', PASSWORD);
    await at(phone, '/account/tokens');
    await phone.context().close();
  },

  async 'changes name, handle and password'() {
    await open(mei, '/account');
    await fill(mei, { name: '梅子', handle: 'meizi' });
    await press(mei, 'Save');
    await mei.getByText('Saved').waitFor();
    await mei.getByRole('heading', { level: 1, name: '梅子' }).waitFor();
    await fill(mei, { email: 'thief@example.org' });
    await press(mei, 'Save');
    await mei.getByText('Links that open your account are sent to this address.').waitFor();
    await mei.getByText('Fill this in.').waitFor();
    await fill(mei, { email: 'mei@example.org' });
    await mei.getByText('Links that open your account are sent to this address.').waitFor({ state: 'detached' });
    await fill(mei, { current: 'not this one', password: OTHER_PASSWORD });
    await press(mei, 'Change the password');
    await mei.getByText('This is not your current password.').waitFor();
    await fill(mei, { current: PASSWORD });
    await press(mei, 'Change the password');
    await mei.getByText('Changed. You are signed out everywhere else.').waitFor();
  },

  async 'becomes a streamer, and their former address leads to the present one'() {
    await press(mei, 'Become a streamer');
    await at(mei, '/studio');
    // Away from the page that asks by the present handle now and then.
    await open(mei, '/account');
    const renamed = await mei.evaluate(async () => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ handle: 'plum', title: 'Ink and rain', category: 'Painting', tags: ['ink'] });
      return (await fetch('/api/v1/channels/meizi', { method: 'PATCH', headers, body })).status;
    });
    assert.equal(renamed, 200);
    await open(mei, '/@meizi');
    await at(mei, '/@plum');
    await mei.getByRole('heading', { name: 'Ink and rain' }).waitFor();
    await mei.getByText('#ink').waitFor();
  },

  async 'is asked to moderate, and accepts'() {
    await open(operator, '/sign-in');
    await signIn(operator, admin.handle, admin.password);
    await at(operator, '/');
    await operate('PUT', `/api/v1/channels/${server.handle}/moderators/meizi`);
    await open(mei, '/account');
    await press(mei, 'Accept');
    await mei.getByRole('heading', { name: 'Channels that you moderate' }).waitFor();
  },

  async 'a link from the operator sets another password, once'() {
    const { link } = await operate('POST', '/api/v1/admin/users/meizi/recovery');
    const lost = await visitor();
    await open(lost, '/recover');
    await lost.getByText('This server sends no mail.').waitFor();
    await lost.goto(server.url + link.slice(link.indexOf('/recover')));
    await fill(lost, { password: PASSWORD });
    await press(lost, 'Set the password');
    await lost.getByText('Sign in as @meizi with it.').waitFor();
    await at(lost, '/recover');
    await lost.locator('main').getByRole('link', { name: 'Sign in' }).click();
    await fill(lost, { password: PASSWORD });
    await press(lost, 'Sign in');
    await lost.getByRole('button', { name: 'Your account: @meizi' }).waitFor();
    await lost.goto(server.url + link.slice(link.indexOf('/recover')));
    await fill(lost, { password: OTHER_PASSWORD });
    await press(lost, 'Set the password');
    await lost.getByText('This link does not work any more').waitFor();
    await lost.context().close();
  },

  async 'a link by mail sets another password, and nobody learns who has an account'() {
    const mailbox = await openMailbox();
    await server.terminate();
    server = await startServer({
      before: server,
      settings: {
        'https.listen': '',
        public_url: server.url,
        'mail.url': mailbox.url,
        'mail.from': 'Barrage <live@example.org>',
      },
    });
    const lost = await visitor();
    for (const email of ['nobody@example.org', 'mei@example.org']) {
      await open(lost, '/recover');
      await fill(lost, { email });
      await press(lost, 'Send the link');
      await lost.getByText(`If an account has the address ${email}, a link is on its way to it.`).waitFor();
    }
    const mail = await until('the mail is there', () => mailbox.mails[0]);
    assert.deepEqual(mail.to, ['mei@example.org']);
    assert.match(mail.from, /live@example\.org/);
    assert.equal(mail.subject, 'A new password for Barrage · 重设密码');
    assert.match(mail.text, /为 @meizi 设置新密码/);
    const link = /^http\S+$/m.exec(mail.text)[0];
    await lost.goto(link);
    await fill(lost, { password: OTHER_PASSWORD });
    await press(lost, 'Set the password');
    await lost.getByText('Sign in as @meizi with it.').waitFor();
    await open(lost, '/sign-in');
    await signIn(lost, 'meizi', OTHER_PASSWORD);
    await lost.getByRole('button', { name: 'Your account: @meizi' }).waitFor();
    // A stranger cannot fill the mailbox.
    await lost.evaluate(async () => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ email: 'mei@example.org' });
      for (let i = 0; i < 5; i += 1) await fetch('/api/v1/recoveries', { method: 'POST', headers, body });
    });
    await until('a few more are there', () => mailbox.mails.length === 3);
    await lost.waitForTimeout(1_000);
    assert.equal(mailbox.mails.length, 3);
    await mailbox.close();
    await lost.context().close();
  },

  async 'the operator sees that the mail server has gone'() {
    await open(operator, '/');
    await operate('PATCH', '/api/v1/account', { email: 'operator@example.org', current: admin.password });
    await open(operator, '/admin/health');
    const part = operator.locator('tr[data-part="mail server"]');
    await part.getByText('Works').waitFor();
    await operate('POST', '/api/v1/recoveries', { email: 'operator@example.org' });
    await until('the health page tells', async () => {
      await operator.reload();
      await part.waitFor();
      return (await part.getByText('Works').count()) === 0;
    });
  },
};

const failed = await runCases(steps, {
  inOrder: true,
  async run(step) {
    await step();
    assert.deepEqual(complaints.splice(0), []);
  },
  about: () => [`at ${mei.url()}; ${complaints.splice(0).join(' | ')}`],
});
await browser.close();
await server.terminate();
process.exit(failed === 0 ? 0 : 1);
