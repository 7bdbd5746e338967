// The real server and real publishers, for the tests and measurements here. BARRAGE_BIN names another binary than
// target/release/barrage.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.BARRAGE_BIN ?? fileURLToPath(new URL('../../target/release/barrage', import.meta.url));
const READY_MS = 20_000;
const POLL_MS = 50;

const children = new Set();
const directories = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer is truthy, and returns it. */
export async function until(what, ask, timeout_ms = 15_000) {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${timeout_ms / 1000} s: ${what}`);
    await sleep(POLL_MS);
  }
}

/** `before` is a server that ended: its data directory and its ports are taken over. */
export async function startServer({ before, settings = {} } = {}) {
  const directory = before?.directory ?? mkdtempSync(join(tmpdir(), 'barrage-e2e-'));
  directories.add(directory);
  const listen = (port) => `127.0.0.1:${port ?? 0}`;
  const args = ['serve', '--data-dir', directory, '--http-listen', listen(before?.http), '--rtmp-listen', listen(before?.rtmp), '--webrtc-listen', settings['webrtc.listen'] ?? '0.0.0.0:0'];
  for (const [key, value] of Object.entries(settings)) args.push('--set', `${key}=${value}`);
  // Settings of the one who runs this are not meant for this server.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BARRAGE_')));
  const { child, log, ended } = start(BINARY, args, { env });
  const runtimeFile = join(directory, 'runtime.json');
  const runtime = await until('the server is ready', () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${log()}`);
    return existsSync(runtimeFile) && log().includes('ready') && JSON.parse(readFileSync(runtimeFile, 'utf8'));
  }, READY_MS);
  const { handle, stream_key: key } = JSON.parse(readFileSync(join(directory, 'first-run.json'), 'utf8')).channel;
  const url = `http://127.0.0.1:${runtime.http.port}`;
  const json = async (path) => (await fetch(url + path)).json();
  const live = async () => (await json(`/api/v1/channels/${handle}`)).live;
  return {
    directory,
    url,
    http: runtime.http.port,
    /** Over https, if that is on. */
    secure: runtime.https && `https://127.0.0.1:${runtime.https.port}`,
    rtmp: runtime.rtmp.port,
    handle,
    room: `${url}/@${handle}`,
    publishUrl: `rtmp://127.0.0.1:${runtime.rtmp.port}/live/${key}`,
    log,
    json,
    text: async (path) => (await fetch(url + path)).text(),
    /** What the API says is on, or null. */
    live,
    isLive: () => until('the channel is live', async () => (await live())?.state === 'live', 20_000),
    isOffline: () => until('the channel is offline', async () => (await live()) === null, 40_000),
    /** What another command of the binary says about the same data directory. */
    tell: (...command) => execFileSync(BINARY, [...command, '--data-dir', directory], { env, encoding: 'utf8' }),
    /** The exit code. */
    async terminate() {
      child.kill('SIGTERM');
      return (await ended).code;
    },
    /** As a crash. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Arguments of ffmpeg for what is published, but its input. */
export const ENCODE = {
  video: ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', '60'],
  audio: ['-c:a', 'aac', '-b:a', '96k', '-ac', '2'],
};
export const SOUND = ['-f', 'lavfi', '-i', 'sine=frequency=330:sample_rate=48000'];

export function ffmpeg(args, options = {}) {
  const { child, log, ended } = start('ffmpeg', ['-hide_banner', '-loglevel', 'error', ...args], options);
  return {
    child,
    log,
    ended,
    /** It takes leave of the server. */
    async stop() {
      child.kill('SIGINT');
      await ended;
    },
    /** It vanishes. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export function publish(server, { size = '640x360', audio = true, bFrames = 0 } = {}) {
  return ffmpeg([
    '-nostdin',
    ...['-re', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=30`],
    ...(audio ? ['-re', ...SOUND] : []),
    ...ENCODE.video,
    ...['-bf', String(bFrames), '-b_strategy', '0'],
    ...(audio ? ENCODE.audio : []),
    ...['-f', 'flv', server.publishUrl],
  ]);
}

export function start(command, args, { env = process.env, stdin = 'ignore', stdout = 'pipe' } = {}) {
  const child = spawn(command, args, { env, stdio: [stdin, 'pipe', 'pipe'] });
  children.add(child);
  let log = '';
  child.stderr.on('data', (bytes) => (log += bytes));
  if (stdout === 'pipe') child.stdout.on('data', (bytes) => (log += bytes));
  const ended = new Promise((resolve) => {
    child.on('error', (error) => {
      log += `${error.message}\n`;
      children.delete(child);
      resolve({ code: -1, signal: null });
    });
    child.on('exit', (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    });
  });
  return { child, log: () => log, ended };
}
