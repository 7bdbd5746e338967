// The machine's own Chromium; nothing is downloaded.

import { chromium } from 'playwright-core';

export function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
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
