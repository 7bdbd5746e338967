//! Danmaku as bitmaps: drawn once, then only copied in each frame. What many say in the same words is drawn once for all.

import type { Piece } from '../chat/emotes';
import type { Mark } from '../chat/mark';
import type { EmoteImages } from './emote-images';

/** What decides how one looks. */
export interface Face {
  pieces: readonly Piece[];
  /** 0xRRGGBB. */
  colour: number;
  font_px: number;
  /** As high as the lines that it takes. */
  height: number;
  badge: string | null;
  mark: Mark;
  /** On a ground of its own, for others pass behind it. */
  ground: boolean;
  /** Cut off there; Infinity where it may be as long as it is. */
  width_max: number;
}

export interface Bitmap {
  image: HTMLCanvasElement;
  /** In CSS pixels. */
  width: number;
}

/** Something to draw, with its place in the bitmap. */
interface Part {
  x: number;
  width: number;
  draw: { text: string } | { image: HTMLImageElement };
}

/** Bitmaps of so many pixels are kept; 4 bytes each. */
const PIXELS_MAX = 4_000_000;
const WIDTHS_MAX = 4_000;
const PAD = 8;
const EMOTE_SCALE = 1.3;
const BADGE_SCALE = 0.6;
const OUTLINE_PX = 4;

export class Pictures {
  readonly #family: () => string;
  readonly #emotes: EmoteImages;
  readonly #ruler = document.createElement('canvas').getContext('2d');
  #bitmaps = new Map<string, Bitmap>();
  #pixels = 0;
  #widths = new Map<string, number>();

  constructor(family: () => string, emotes: EmoteImages) {
    this.#family = family;
    this.#emotes = emotes;
  }

  /** How wide one will be, without drawing it. */
  widthOf(face: Face): number {
    const parts = this.#lay(face);
    const last = parts.at(-1);
    return Math.min(face.width_max, Math.ceil(last ? last.x + last.width : PAD) + PAD);
  }

  bitmap(face: Face, ratio: number): Bitmap {
    const key = this.#keyOf(face, ratio);
    const known = this.#bitmaps.get(key);
    if (known) {
      this.#bitmaps.delete(key);
      this.#bitmaps.set(key, known);
      return known;
    }
    const made = this.#make(face, ratio);
    this.#bitmaps.set(key, made);
    this.#pixels += pixelsOf(made);
    for (const [oldest, bitmap] of this.#bitmaps) {
      if (this.#pixels <= PIXELS_MAX || oldest === key) break;
      this.#bitmaps.delete(oldest);
      this.#pixels -= pixelsOf(bitmap);
    }
    return made;
  }

  /** Letters of another kind or screen. */
  forget(): void {
    this.#bitmaps.clear();
    this.#pixels = 0;
    this.#widths.clear();
  }

  #keyOf({ pieces, colour, font_px, height, badge, mark, ground, width_max }: Face, ratio: number): string {
    const emotes = pieces.map((piece) => ('url' in piece && this.#emotes.get(piece.url) ? piece.url : ''));
    return JSON.stringify([pieces, emotes, colour, font_px, height, badge, mark, ground, width_max === Infinity ? 0 : width_max, ratio]);
  }

  #lay({ pieces, font_px, badge }: Face): Part[] {
    const parts: Part[] = [];
    let x = PAD;
    if (badge !== null) x += this.#measure(badge, font_px * BADGE_SCALE) + font_px * 0.8;
    for (const piece of pieces) {
      const image = 'url' in piece ? this.#emotes.get(piece.url) : null;
      const text = 'text' in piece ? piece.text : `:${piece.code}:`;
      const width = image ? (image.naturalWidth / image.naturalHeight) * font_px * EMOTE_SCALE : this.#measure(text, font_px);
      parts.push({ x, width, draw: image ? { image } : { text } });
      x += width;
    }
    return parts;
  }

  #measure(text: string, font_px: number): number {
    const key = `${font_px} ${text}`;
    const known = this.#widths.get(key);
    if (known !== undefined) return known;
    if (!this.#ruler) return 0;
    this.#ruler.font = this.#font(font_px);
    const { width } = this.#ruler.measureText(text);
    if (this.#widths.size >= WIDTHS_MAX) this.#widths.clear();
    this.#widths.set(key, width);
    return width;
  }

  #font(font_px: number): string {
    return `600 ${font_px}px ${this.#family()}`;
  }

  #make(face: Face, ratio: number): Bitmap {
    const image = document.createElement('canvas');
    const width = this.widthOf(face);
    image.width = Math.max(1, Math.round(width * ratio));
    image.height = Math.max(1, Math.round(face.height * ratio));
    const context = image.getContext('2d');
    if (context) {
      context.scale(ratio, ratio);
      drawGround(context, face, width);
      if (face.badge !== null) this.#drawBadge(context, face, face.badge);
      context.font = this.#font(face.font_px);
      context.textBaseline = 'middle';
      for (const part of this.#lay(face)) drawPart(context, face, part);
      if (width === face.width_max) fadeOut(context, face, width);
    }
    return { image, width };
  }

  #drawBadge(context: CanvasRenderingContext2D, { font_px, height }: Face, badge: string): void {
    const size = font_px * BADGE_SCALE;
    const width = this.#measure(badge, size);
    context.fillStyle = '#474bc9';
    context.beginPath();
    context.roundRect(PAD, height / 2 - size * 0.8, width + font_px * 0.5, size * 1.6, 4);
    context.fill();
    context.font = this.#font(size);
    context.textBaseline = 'middle';
    context.fillStyle = '#ffffff';
    context.fillText(badge, PAD + font_px * 0.25, height / 2 + 0.5);
  }
}

function pixelsOf({ image }: Bitmap): number {
  return image.width * image.height;
}

function drawGround(context: CanvasRenderingContext2D, { mark, ground, height }: Face, width: number): void {
  if (mark === null && !ground) return;
  context.beginPath();
  context.roundRect(1, 2, width - 2, height - 4, 6);
  context.fillStyle = mark === 'called' ? 'rgb(71 75 201 / 80%)' : ground ? 'rgb(8 9 11 / 80%)' : 'rgb(8 9 11 / 64%)';
  context.fill();
  if (mark === null) return;
  context.lineWidth = 1.5;
  context.strokeStyle = mark === 'own' ? '#f1f2f6' : '#a9b1ff';
  context.stroke();
}

function drawPart(context: CanvasRenderingContext2D, { colour, font_px, height }: Face, { x, width, draw }: Part): void {
  if ('image' in draw) {
    const high = font_px * EMOTE_SCALE;
    context.drawImage(draw.image, x, (height - high) / 2, width, high);
    return;
  }
  context.lineJoin = 'round';
  context.lineWidth = OUTLINE_PX;
  context.strokeStyle = isDark(colour) ? 'rgb(255 255 255 / 80%)' : 'rgb(0 0 0 / 80%)';
  context.fillStyle = `#${colour.toString(16).padStart(6, '0')}`;
  context.strokeText(draw.text, x, height / 2);
  context.fillText(draw.text, x, height / 2);
}

/** What is cut off goes out softly. */
function fadeOut(context: CanvasRenderingContext2D, { height }: Face, width: number): void {
  const fade = context.createLinearGradient(width - 48, 0, width - PAD, 0);
  fade.addColorStop(0, 'rgb(0 0 0 / 0%)');
  fade.addColorStop(1, 'rgb(0 0 0 / 100%)');
  context.globalCompositeOperation = 'destination-out';
  context.fillStyle = fade;
  context.fillRect(width - 48, 0, 48, height);
}

/** By how light the eye sees it; a black outline around it would be no outline. */
export function isDark(colour: number): boolean {
  const [red, green, blue] = [(colour >> 16) & 255, (colour >> 8) & 255, colour & 255];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 60;
}
