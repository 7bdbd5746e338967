// How long a gift takes from the press of its button in Chromium: until the balance in the giver's page is another, and until
// its line is in the chat of somebody in Firefox. All on one machine and its one clock. `npm run gifts-bench` prints a table;
// with a file, it goes into that file's section.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { openBrowser, pagesFromDist } from './browser.mjs';
import { FREE } from './crowd.mjs';
import { openFirefox } from './firefox.mjs';
import { atTheShelf, order, pay, signUp } from './giver.mjs';
import { publish, sleep, startServer } from './server.mjs';
import { openViewer } from './viewer.mjs';

const GIFTS = 150;
/** Presses come at no particular time in the server's and the page's own rounds. */
const PAUSE_MS = { least: 100, spread: 150 };
const WARM_UP = 10;
const SEEN_WITHIN_MS = 20_000;
/** One without coins on top, which would be spent first and stand elsewhere. */
const PACK = 300;
/** In turn: each is a line of its own then, and no combo. */
const NAMES = ['Rose', 'Applause'];
const AIMS_MS = { own: 100, other: 250 };
const SECTION = /(<!-- gifts in the page: [^\n]*-->\n)[\s\S]*(<!-- gifts in the page: end -->)/;

const [file] = process.argv.slice(2);
/** What else the machine has to do. */
const [load] = loadavg();
const server = await startServer({ settings: FREE });
const chromium = await openBrowser();
const firefox = await openFirefox();
const versions = [chromium.version(), (await firefox.version()).replace(/^firefox\//i, '')];

const context = await chromium.newContext({ locale: 'en', viewport: { width: 1280, height: 800 } });
await pagesFromDist(context);
const giver = await openViewer(context);
await signUp(giver, server, 'ann', '/wallet');
const viewer = await firefox.newPage();
await viewer.setViewport({ width: 1280, height: 800 });

const rows = [];
rows.push(['nothing is on', await measure()]);
const publisher = publish(server);
await server.isLive();
rows.push(['a broadcast of 640×360 plays in both', await measure({ live: true })]);
await publisher.stop();
await firefox.close();
await chromium.close();
await server.terminate();

const table = section();
console.log(table);
if (file) {
  const before = readFileSync(file, 'utf8');
  if (!SECTION.test(before)) throw new Error(`${file} has no section for gifts in the page`);
  writeFileSync(file, before.replace(SECTION, (_, begin, end) => `${begin}\n${table}\n${end}`));
}
process.exit(0);

async function measure({ live = false } = {}) {
  await giver.goto(`${server.url}/wallet`);
  await order(giver, PACK);
  await pay(giver);
  await giver.goto(server.room);
  await viewer.goto(server.room);
  await viewer.waitForSelector('[role=log]');
  const { shelf } = await atTheShelf(giver);
  if (live) for (const page of [giver, viewer]) await page.waitForSelector('[data-state=playing]');
  await giver.evaluate(noteGifts);
  await viewer.evaluate(noteGifts);
  const buttons = NAMES.map((name) => shelf.getByRole('button', { name: new RegExp(`^${name}`) }));
  const times = [];
  for (let n = 0; n < WARM_UP + GIFTS; n += 1) {
    await buttons[n % buttons.length].click();
    const { pressed, told } = await giver.evaluate((wanted) => globalThis.noted(wanted), { n, within_ms: SEEN_WITHIN_MS });
    const { seen } = await viewer.evaluate((wanted) => globalThis.noted(wanted), { n, within_ms: SEEN_WITHIN_MS });
    if (n >= WARM_UP) times.push({ own: told - pressed, other: seen - pressed });
    await sleep(PAUSE_MS.least + Math.random() * PAUSE_MS.spread);
  }
  return times;
}

/**
 * In a page: when buttons of gifts were pressed, when the balance became another, and when lines of gifts came, in milliseconds
 * of the machine's clock. `noted` waits for the n-th of what there is to see here.
 */
function noteGifts() {
  const pressed = [];
  const told = [];
  const seen = [];
  const known = new Set();
  const balance = () => document.querySelector('.purse .coins')?.textContent;
  let before = balance();
  const now = () => performance.timeOrigin + performance.now();
  for (const line of document.querySelectorAll('[role=log] .line')) known.add(line.dataset.key);
  addEventListener('click', (event) => event.target.closest('button.gift') && pressed.push(performance.timeOrigin + event.timeStamp), true);
  new MutationObserver(() => {
    const after = balance();
    if (after !== before) told.push(now());
    before = after;
    for (const line of document.querySelectorAll('[role=log] .line:has(.gift)')) {
      if (known.has(line.dataset.key)) continue;
      known.add(line.dataset.key);
      seen.push(now());
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  globalThis.noted = ({ n, within_ms }) =>
    new Promise((resolve, reject) => {
      const isGiver = pressed.length > 0;
      const deadline = performance.now() + within_ms;
      const look = () => {
        if ((isGiver ? told : seen).length > n) resolve({ pressed: pressed[n], told: told[n], seen: seen[n] });
        else if (performance.now() > deadline) reject(new Error(`gift ${n}: ${pressed.length} presses, ${told.length} balances, ${seen.length} lines`));
        else setTimeout(look, 10);
      };
      look();
    });
}

function section() {
  const model = cpus()[0].model.replace(/ (Processor|CPU).*$/, '').trim();
  const at = (values, share) => [...values].sort((a, b) => a - b)[Math.ceil(share * values.length) - 1];
  const row = (name, times, what) => {
    const values = times.map((one) => one[what]);
    const [p50, p99, max] = [0.5, 0.99, 1].map((share) => at(values, share));
    return `| ${[name, ...[p50, p99, max].map((ms) => `${ms.toFixed(0)} ms`), `p99 at most ${AIMS_MS[what]} ms`, p99 <= AIMS_MS[what] ? 'yes' : 'no'].join(' | ')} |`;
  };
  return [
    '## Gifts in the page',
    '',
    `\`npm --prefix web run gifts-bench\`, ${new Date().toISOString().slice(0, 10)}: somebody in Chromium ${versions[0]} presses a gift, ${GIFTS} times one`,
    `after the other, and somebody in Firefox ${versions[1]} looks on; server on SQLite, browsers and encoder on the same`,
    `${cpus().length} cores of ${model}, whose load was ${load.toFixed(1)} before it began. It counts from the press to the change in the`,
    'DOM: of the giver’s own balance, and to the gift’s line in the other’s chat.',
    '',
    '| | p50 | p99 | longest | aim | met |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.flatMap(([name, times]) => [row(`own balance; ${name}`, times, 'own'), row(`the other’s chat; ${name}`, times, 'other')]),
    '',
  ].join('\n');
}
