//! Which lines of a long column are drawn, and where: heights in, a slice out. Pure.

/** What a line measures until it has been measured; one line of text. */
const GUESS_PX = 29;

/** How high each line is, by its key. */
export class Heights {
  #known = new Map<number, number>();
  #sum = 0;

  /** True if it is another than it was taken for. */
  set(key: number, height: number): boolean {
    const before = this.#known.get(key);
    if (before !== undefined && Math.abs(before - height) < 0.1) return false;
    this.#sum += height - (before ?? 0);
    this.#known.set(key, height);
    return true;
  }

  of(key: number): number {
    return this.#known.get(key) ?? this.#guess;
  }

  /** The column has another width. */
  clear(): void {
    this.#known.clear();
    this.#sum = 0;
  }

  /** Forgets lines that have left. */
  keepFrom(oldest: number): void {
    for (const [key, height] of this.#known) {
      if (key >= oldest) continue;
      this.#known.delete(key);
      this.#sum -= height;
    }
  }

  get #guess(): number {
    return this.#known.size === 0 ? GUESS_PX : this.#sum / this.#known.size;
  }
}

/** The lines from `from` up to, not including, `to` are drawn; the others only take room. */
export interface Slice {
  from: number;
  to: number;
  above: number;
  below: number;
}

/** What is seen at a scroll position, and so much more before and behind. */
export function sliceAt(keys: readonly number[], heights: Heights, top: number, bottom: number): Slice {
  let from = 0;
  let above = 0;
  for (; from < keys.length; from += 1) {
    const height = heights.of(keys[from] as number);
    if (above + height > top) break;
    above += height;
  }
  let to = from;
  let reached = above;
  for (; to < keys.length && reached < bottom; to += 1) reached += heights.of(keys[to] as number);
  return { from, to, above, below: heightOf(keys, heights, to, keys.length) };
}

/** The last lines, as many as fill this height. */
export function sliceAtEnd(keys: readonly number[], heights: Heights, height: number): Slice {
  let from = keys.length;
  for (let filled = 0; from > 0 && filled < height; ) {
    from -= 1;
    filled += heights.of(keys[from] as number);
  }
  return { from, to: keys.length, above: heightOf(keys, heights, 0, from), below: 0 };
}

/** What somebody looks at: a line, and how far above its upper edge the column is cut. */
export interface Anchor {
  key: number;
  cut: number;
}

export function anchorAt(keys: readonly number[], heights: Heights, top: number): Anchor | null {
  const { from, above } = sliceAt(keys, heights, top, top);
  const key = keys[from];
  return key === undefined ? null : { key, cut: top - above };
}

/** Where to scroll so that it stays where it is; of a line that has left, the next one counts. */
export function topOf(keys: readonly number[], heights: Heights, anchor: Anchor): number {
  const at = keys.findIndex((key) => key >= anchor.key);
  const above = heightOf(keys, heights, 0, at === -1 ? keys.length : at);
  return keys[at] === anchor.key ? above + anchor.cut : above;
}

function heightOf(keys: readonly number[], heights: Heights, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 1) sum += heights.of(keys[at] as number);
  return sum;
}
