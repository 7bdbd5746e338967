// What danmaku-bench.mjs runs in the page: each drawer takes what is said and puts it over the picture.

import Danmaku from 'danmaku/dist/esm/danmaku.canvas.js';
import { Overlay } from '../src/lib/danmaku/overlay.ts';
import { crowd } from './crowd.mjs';

const SAYING_MS = 50;
const MANNER = { at_once: 50, area: 0.75, scale: 1, scroll_ms: 9_000, standing: false, held: false, still: false };
const WAYS = { scroll: 'rtl', reverse: 'ltr', top: 'top', bottom: 'bottom' };
const SIZES = { small: 0.8, normal: 1, large: 1.35 };

function ours(stage, manner) {
  const canvas = stage.appendChild(document.createElement('canvas'));
  const overlay = new Overlay(canvas, manner, { position: () => null, badge: (badge) => badge });
  let p = 0;
  return { say: (item) => overlay.show({ p: (p += 1), ...item }, null), drawn: () => overlay.drawn };
}

/** Letters as ours on this stage. */
function packaged(stage) {
  const danmaku = new Danmaku({ container: stage, engine: 'canvas', speed: stage.clientWidth / 9 });
  let drawn = 0;
  return {
    say({ text, mode, size, colour }) {
      drawn += 1;
      const style = { font: `600 ${Math.round(34 * 0.72 * SIZES[size])}px sans-serif`, fillStyle: `#${colour.toString(16).padStart(6, '0')}`, strokeStyle: 'rgb(0 0 0 / 80%)', lineWidth: 4, lineJoin: 'round' };
      danmaku.emit({ text, mode: WAYS[mode], style });
    },
    drawn: () => drawn,
  };
}

const DRAWERS = {
  many: (stage) => ours(stage, MANNER),
  all: (stage) => ours(stage, { ...MANNER, at_once: Infinity, area: 1 }),
  packaged,
};

let frames = [];
let drawer = null;

/** Begins to say so much. */
globalThis.begin = (name, per_second) => {
  drawer = DRAWERS[name](document.querySelector('#stage'));
  const words = crowd();
  let owed = 0;
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    owed += ((now - last) * per_second) / 1000;
    last = now;
    for (; owed >= 1; owed -= 1) drawer.say(words.next().value);
  }, SAYING_MS);
  let before = 0;
  requestAnimationFrame(function next(now) {
    if (before) frames.push(now - before);
    before = now;
    requestAnimationFrame(next);
  });
};

/** The times between frames since the last call, and how many danmaku were drawn so far. */
globalThis.take = () => {
  const taken = { frames, drawn: drawer.drawn() };
  frames = [];
  return taken;
};
