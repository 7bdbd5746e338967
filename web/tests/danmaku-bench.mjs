// What danmaku over the picture cost a page, ours beside the package `danmaku`, at 200 a second on a canvas of 1280×720 in
// Chromium without a graphics card. `npm run danmaku-bench` prints a table; with a file, it goes into that file's section.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { openBrowser } from './browser.mjs';
import { sleep } from './server.mjs';

const PER_SECOND = 200;
/** Until as many leave as come. */
const WARM_MS = 10_000;
const MEASURED_MS = 20_000;
const RUNS = 3;
const LONG_FRAME_MS = 50;
const SECTION = /(<!-- danmaku: [^\n]*-->\n)[\s\S]*(<!-- danmaku: end -->)/;

const [file] = process.argv.slice(2);
const script = await pageScript();
const browser = await openBrowser();

const rows = [];
rows.push(['Barrage, as it comes: about 50 at once', await median('many', PER_SECOND)]);
const all = await median('all', PER_SECOND);
rows.push(['Barrage, all that fit on the whole picture', all]);
rows.push(['danmaku 2.0.10, all of them, over each other', await median('packaged', PER_SECOND)]);
rows.push([`danmaku 2.0.10, only as many as Barrage drew above`, await median('packaged', all.drawn_per_second)]);
await browser.close();

const table = section(rows);
console.log(table);
if (file) {
  const before = readFileSync(file, 'utf8');
  if (!SECTION.test(before)) throw new Error(`${file} has no section for danmaku`);
  writeFileSync(file, before.replace(SECTION, (_, begin, end) => `${begin}\n${table}\n${end}`));
}

async function pageScript() {
  const entry = fileURLToPath(new URL('./danmaku-bench-page.mjs', import.meta.url));
  const [built] = await build({
    configFile: false,
    logLevel: 'error',
    build: { write: false, minify: true, lib: { entry, formats: ['es'], fileName: 'bench' } },
  });
  return built.output[0].code;
}

/** The run in the middle by its time on the main thread. */
async function median(name, per_second) {
  const runs = [];
  for (let n = 0; n < RUNS; n += 1) runs.push(await run(name, per_second));
  runs.sort((a, b) => a.main_ms - b.main_ms);
  return runs[Math.floor(RUNS / 2)];
}

async function run(name, per_second) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  await page.setContent('<style>body{margin:0;background:#345}#stage,canvas{position:absolute;width:1280px;height:720px}</style><div id="stage"></div>');
  await page.addScriptTag({ content: script, type: 'module' });
  await page.waitForFunction(() => 'begin' in globalThis);
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  await page.evaluate(([drawer, rate]) => globalThis.begin(drawer, rate), [name, per_second]);
  await sleep(WARM_MS);
  const before = await page.evaluate(() => globalThis.take());
  const busy = await taskSeconds(session);
  await sleep(MEASURED_MS);
  const main_ms = ((await taskSeconds(session)) - busy) * (1e6 / MEASURED_MS);
  const { frames, drawn } = await page.evaluate(() => globalThis.take());
  await page.close();
  frames.sort((a, b) => a - b);
  const at = (share) => frames[Math.min(frames.length - 1, Math.floor(frames.length * share))];
  return {
    drawn_per_second: (drawn - before.drawn) / (MEASURED_MS / 1000),
    frames_per_second: frames.length / (MEASURED_MS / 1000),
    p50: at(0.5),
    p99: at(0.99),
    long: frames.filter((ms) => ms > LONG_FRAME_MS).length,
    main_ms,
  };
}

async function taskSeconds(session) {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration').value;
}

function section(lines) {
  const model = cpus()[0].model.replace(/ (Processor|CPU).*$/, '').trim();
  return [
    '## Danmaku in the page',
    '',
    `\`npm --prefix web run danmaku-bench\`, ${new Date().toISOString().slice(0, 10)}: ${PER_SECOND} danmaku a second on a canvas of`,
    `1280×720, in Chromium ${browser.version()} without a graphics card, ${cpus().length} cores of ${model}. ${MEASURED_MS / 1000} s after a warm-up of`,
    `${WARM_MS / 1000} s, the middle one of ${RUNS} runs. Time on the main thread is everything that it did, in milliseconds of a second.`,
    'Barrage draws a text once for all who say it, and leaves out and counts what has no place; the package lays it over',
    'what is there. Beside the second row stands the last one, where both draw as many; Barrage keeps its own.',
    '',
    '| drawn by | drawn a second | main thread | frames a second | between frames p50 / p99 ms | longer than 50 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...lines.map(([name, { drawn_per_second, main_ms, frames_per_second, p50, p99, long }]) =>
      `| ${[name, drawn_per_second.toFixed(1), `${main_ms.toFixed(0)} ms`, frames_per_second.toFixed(1), `${p50.toFixed(1)} / ${p99.toFixed(1)}`, long].join(' | ')} |`,
    ),
    '',
  ].join('\n');
}
