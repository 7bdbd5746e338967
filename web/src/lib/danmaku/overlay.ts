//! Danmaku over the picture, on a canvas: which are shown when and where. It draws only while something moves.

import { pieces, type Piece } from '../chat/emotes';
import type { Mark } from '../chat/mark';
import type { Badge, Danmaku, Mode } from '../chat/protocol';
import { Density } from './density';
import { EmoteImages } from './emote-images';
import { Pictures, type Bitmap, type Face } from './pictures';
import { Queue, type Entry } from './queue';
import { leftAt, Tracks, type Placed, type Stage } from './tracks';

/** How it is wanted. */
export interface Manner {
  /** How many are there at once, about, on a picture of the usual width. */
  at_once: number;
  /** The share of the height, from above. */
  area: number;
  scale: number;
  scroll_ms: number;
  /** Nothing crosses the picture; all stand. */
  standing: boolean;
  /** The viewer has paused them: what is there stays, and nothing comes. */
  held: boolean;
  /** The picture stands still, and what is over it too. */
  still: boolean;
}

interface Heard {
  danmaku: Danmaku;
  /** Those that have one are not left out. */
  mark: Mark;
  pieces: readonly Piece[];
}

interface Shown extends Heard {
  placed: Placed;
  bitmap: Bitmap;
}

export interface Hooks {
  /** Which picture is shown, in microseconds of media time; null if that is not known. */
  position(): number | null;
  badge(badge: Badge): string;
}

const STAND_MS = 4_500;
/** What is never left out may begin so much later. */
const LATER_MS = 10_000;
/** An emote's picture is waited for so long before its code is shown in its place. */
const EMOTE_MS = 400;
const SIZES = { small: 0.8, normal: 1, large: 1.35 };
/** Letters of the usual size are no smaller than this. */
const FONT_MIN_PX = 18;
const TOP_PX = 8;
/** The usual width, and how much less and more than there may be on others. */
const WIDTH_PX = 1_080;
const SHARE_MIN = 0.3;
const SHARE_MAX = 1.5;
/** A page that was out of sight does not make up for it in one step. */
const STEP_MAX_MS = 100;

export class Overlay {
  drawn = 0;
  /** The last one: its place on the lane, its picture, and the picture that was shown. */
  latest = '';
  readonly #canvas: HTMLCanvasElement;
  readonly #hooks: Hooks;
  readonly #emotes = new EmoteImages();
  readonly #pictures: Pictures;
  readonly #queue = new Queue<Heard>();
  readonly #tracks = new Tracks();
  readonly #density = new Density();
  readonly #resizing: ResizeObserver;
  #family = '';
  #shown: Shown[] = [];
  #manner: Manner;
  /** Time that stands still with the picture. */
  #clock = 0;
  #last = 0;
  #asked: number | null = null;
  #width = 0;
  #height = 0;
  #ratio = 1;
  /** How far down the last frame drew, in the screen's own pixels. */
  #inked = 0;

  constructor(canvas: HTMLCanvasElement, manner: Manner, hooks: Hooks) {
    this.#canvas = canvas;
    this.#manner = manner;
    this.#hooks = hooks;
    this.#pictures = new Pictures(() => this.#family, this.#emotes);
    this.#resizing = new ResizeObserver(() => this.#fit());
    this.#resizing.observe(canvas);
    this.#fit();
  }

  get dropped(): number {
    return this.#queue.dropped;
  }

  /** How many are there. */
  get count(): number {
    return this.#shown.length;
  }

  behave(manner: Manner): void {
    const before = this.#manner;
    this.#manner = manner;
    // What waits when they are paused is in the column, and old news afterwards.
    if (manner.held) this.#queue.clear();
    if (manner.scale !== before.scale || manner.area !== before.area) this.#redraw();
    this.#wake();
  }

  show(danmaku: Danmaku, mark: Mark): void {
    if (this.#manner.held || document.hidden) return;
    const heard = { danmaku, mark, pieces: pieces(danmaku.text, danmaku.emotes) };
    for (const piece of heard.pieces) if ('url' in piece) this.#emotes.get(piece.url);
    const picture = mark === 'own' ? null : (danmaku.mt ?? null);
    this.#queue.add({ it: heard, first: mark !== null, picture, since: this.#clock });
    this.#wake();
  }

  /** Takes away those that fail the test. */
  keep(test: (danmaku: Danmaku) => boolean): void {
    this.#queue.keep(({ danmaku }) => test(danmaku));
    const gone = new Set<Placed>();
    this.#shown = this.#shown.filter(({ danmaku, placed }) => test(danmaku) || !gone.add(placed));
    this.#tracks.keep((placed) => !gone.has(placed));
    this.#wake();
  }

  close(): void {
    this.#resizing.disconnect();
    if (this.#asked !== null) cancelAnimationFrame(this.#asked);
    this.#queue.clear();
    this.#shown = [];
    this.#context()?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #context(): CanvasRenderingContext2D | null {
    return this.#canvas.getContext('2d');
  }

  /** Draws at least once more. */
  #wake(): void {
    this.#asked ??= requestAnimationFrame((now) => this.#frame(now));
  }

  #frame(now: number): void {
    this.#asked = null;
    const halts = this.#manner.held || this.#manner.still;
    const { standing, scroll_ms } = this.#manner;
    const passed = halts ? 0 : Math.min(STEP_MAX_MS, Math.max(0, now - this.#last));
    this.#clock += passed;
    this.#last = now;
    const there_ms = standing ? STAND_MS : scroll_ms;
    // An empty picture was empty for long enough.
    this.#density.pass(this.#shown.length === 0 ? there_ms : passed, this.#atOnce(), there_ms);
    if (devicePixelRatio !== this.#ratio) this.#fit();
    const stage = this.#stage();
    if (!halts && this.#width > 0) this.#queue.admit(this.#clock, this.#hooks.position(), (entry) => this.#place(entry, stage));
    if (this.#shown.some(({ placed }) => placed.ends <= this.#clock)) {
      this.#shown = this.#shown.filter(({ placed }) => placed.ends > this.#clock);
    }
    this.#draw(stage);
    if (!halts && (this.#shown.length > 0 || this.#queue.size > 0)) this.#wake();
  }

  #draw(stage: Stage): void {
    const context = this.#context();
    if (!context) return;
    context.clearRect(0, 0, this.#canvas.width, this.#inked);
    this.#inked = 0;
    for (let depth = 0; depth <= DEPTH_MAX; depth += 1) {
      for (const { placed, bitmap, mark } of this.#shown) {
        if (depthOf(placed.mode, mark) !== depth || placed.begins > this.#clock) continue;
        const left = Math.round(leftAt(placed, this.#clock, stage) * this.#ratio);
        const top = Math.round((placed.track * this.#line() + TOP_PX) * this.#ratio);
        context.drawImage(bitmap.image, left, top);
        this.#inked = Math.max(this.#inked, top + bitmap.image.height);
      }
    }
  }

  #place({ it, first, since }: Entry<Heard>, stage: Stage): boolean {
    if (!first && !this.#density.isOpen) return false;
    if (it.pieces.some((piece) => 'url' in piece && this.#emotes.isComing(piece.url)) && this.#clock - since < EMOTE_MS) return false;
    const face = this.#face(it, stage);
    const mode = this.#modeOf(it.danmaku.mode, face, stage);
    const laid = this.#laid(face, mode, stage);
    const wanted = { mode, width: this.#pictures.widthOf(laid), rows: this.#rowsOf(it.danmaku) };
    const placed = first
      ? this.#tracks.placeUntil(wanted, this.#clock, this.#clock + LATER_MS, stage)
      : this.#tracks.place(wanted, this.#clock, stage);
    if (!placed) return false;
    this.#density.take();
    this.#shown.push({ ...it, placed, bitmap: this.#pictures.bitmap(laid, this.#ratio) });
    this.drawn += 1;
    this.latest = `${it.danmaku.p} ${it.danmaku.mt ?? ''} ${this.#hooks.position() ?? ''}`;
    return true;
  }

  /** What is too long to stand moves, if it may. */
  #modeOf(mode: Mode, face: Face, stage: Stage): Mode {
    if (this.#manner.standing) return doesStand(mode) ? mode : 'top';
    return doesStand(mode) && this.#pictures.widthOf(face) > stage.width ? 'scroll' : mode;
  }

  #laid(face: Face, mode: Mode, stage: Stage): Face {
    return doesStand(mode) ? { ...face, ground: true, width_max: stage.width } : face;
  }

  #face({ danmaku, mark, pieces: parts }: Heard, stage: Stage): Face {
    const [badge] = danmaku.by.badges ?? [];
    const rows = Math.min(this.#rowsOf(danmaku), stage.tracks);
    return {
      pieces: parts,
      colour: danmaku.colour,
      font_px: Math.round(Math.max(FONT_MIN_PX * Math.min(1, this.#manner.scale), this.#line() * 0.72 * SIZES[danmaku.size])),
      height: this.#line() * rows,
      badge: badge ? this.#hooks.badge(badge) : null,
      mark,
      ground: false,
      width_max: Infinity,
    };
  }

  #rowsOf({ size }: Danmaku): number {
    return size === 'large' ? 2 : 1;
  }

  /** A small picture is full with fewer. */
  #atOnce(): number {
    return this.#manner.at_once * Math.min(SHARE_MAX, Math.max(SHARE_MIN, this.#width / WIDTH_PX));
  }

  #line(): number {
    return Math.round(Math.min(34, Math.max(24, this.#height / 18)) * this.#manner.scale);
  }

  #stage(): Stage {
    const tracks = Math.max(1, Math.floor((this.#height * this.#manner.area - TOP_PX) / this.#line()));
    const standing = this.#manner.standing ? tracks : Math.ceil(tracks / 4);
    return { width: this.#width, tracks, standing, scroll_ms: this.#manner.scroll_ms, stand_ms: STAND_MS };
  }

  /** The canvas has the size of the picture, in the screen's own pixels. */
  #fit(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    if (clientWidth === this.#width && clientHeight === this.#height && devicePixelRatio === this.#ratio) return;
    this.#ratio = devicePixelRatio;
    this.#width = clientWidth;
    this.#height = clientHeight;
    this.#canvas.width = Math.round(clientWidth * this.#ratio);
    this.#canvas.height = Math.round(clientHeight * this.#ratio);
    this.#family = getComputedStyle(this.#canvas).fontFamily;
    this.#redraw();
    this.#wake();
  }

  /** Those that are there stay on their lines in the size that they have now, as far as those lines go. */
  #redraw(): void {
    this.#pictures.forget();
    const stage = this.#stage();
    const stays = ({ track, rows }: Placed): boolean => track + rows <= stage.tracks;
    this.#shown = this.#shown.filter(({ placed }) => stays(placed));
    this.#tracks.keep(stays);
    for (const one of this.#shown) {
      const face = this.#laid(this.#face(one, stage), one.placed.mode, stage);
      one.bitmap = this.#pictures.bitmap(face, this.#ratio);
      one.placed.width = one.bitmap.width;
    }
  }
}

const DEPTH_MAX = 2;

/** What moves passes behind what stands, but for what is the viewer's own or calls them. */
function depthOf(mode: Mode, mark: Mark): number {
  if (doesStand(mode)) return 1;
  return mark === null ? 0 : DEPTH_MAX;
}

function doesStand(mode: Mode): boolean {
  return mode === 'top' || mode === 'bottom';
}
