// The machine's own Chromium; nothing is downloaded.

import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { chromium } from 'playwright-core';

/** A page that a test answers for counts as one from elsewhere, and such may not open WebSockets to this machine. */
const OTHERS = process.env.WEB_DIST ? ['LocalNetworkAccessChecks'] : [];
/** Without their addresses in clear, two peers on a machine without a name service do not find each other. */
const FEATURES_OFF = [...OTHERS, 'WebRtcHideLocalIpsWithMdns'];

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--autoplay-policy=no-user-gesture-required',
  `--disable-features=${FEATURES_OFF.join(',')}`,
];

/** A camera that shows a clock and beeps once a second, and that nobody is asked about. */
export const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

export function openBrowser(more = []) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...ARGUMENTS, ...more] });
}

/**
 * Playwright's own questions count as the visitor's gesture, so a browser that forbids sound has to be played:
 * until a click, only a muted video may start.
 */
export function forbidSound(page) {
  return page.addInitScript(() => {
    const play = HTMLMediaElement.prototype.play;
    let clicked = false;
    addEventListener('pointerdown', () => (clicked = true), true);
    HTMLMediaElement.prototype.play = function () {
      return clicked || this.muted ? play.call(this) : Promise.reject(new DOMException('not yet', 'NotAllowedError'));
    };
  });
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** With WEB_DIST the pages come from that directory, whatever the binary carries, and keep to what the server lets its own do. */
export async function pagesFromDist(context) {
  const directory = process.env.WEB_DIST;
  if (!directory) return;
  await context.route(
    (url) => !/^\/(api|hls|live|emotes|whep|whip|webrtc)(\/|$)/.test(url.pathname),
    async (route) => {
      const { pathname } = new URL(route.request().url());
      const file = pathname.startsWith('/assets/') ? pathname : 'index.html';
      const body = readFileSync(join(directory, file));
      const type = { 'content-type': TYPES[extname(file)] };
      if (file !== 'index.html') return route.fulfill({ body, headers: type });
      const { 'content-security-policy': policy } = (await route.fetch()).headers();
      return route.fulfill({ body, headers: { ...type, 'content-security-policy': policy } });
    },
  );
}
