//! What gifts make of themselves over the picture, as state: one at a time, unless they are switched off.

import type { Line } from '../chat/room-chat.svelte';
import { remember, remembered } from '../settings';
import type { Given } from './gathered';
import { Show, type Act } from './show';

type GiftLine = Line & { gift: Given };

export interface Scene extends Act {
  line: GiftLine;
}

/** How long each tier is shown; one more of a combo begins it anew, up to a limit. */
const SHOWN_MS = { 2: 4_000, 3: 5_000, 4: 6_000 } as const;
const AT_MOST_MS = 12_000;
/** A breath between two. */
const GAP_MS = 300;

export class GiftEffects {
  scene = $state.raw<Scene | null>(null);
  shown = $state(remembered('gift_effects') !== 'no');

  readonly #show = new Show<Scene>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #began = 0;

  gifted(line: GiftLine, at: number): void {
    const { tier } = line.gift.gift;
    // The smallest ones have their line in the chat; super chats are pinned.
    if (!this.shown || tier < 2 || line.gift.gift.id === 'super_chat' || document.hidden) return;
    this.#show.add({ key: line.key, by: line.by.id, tier, at, line }, Date.now());
    if (this.#show.now?.key === line.key) {
      this.scene = this.#show.now;
      if (performance.now() - this.#began < AT_MOST_MS) this.#endIn(this.scene);
    } else if (this.#timer === undefined) this.#next();
  }

  takenBack(key: number): void {
    this.#show.remove(key);
    if (this.scene?.key === key) this.skip();
  }

  skip(): void {
    clearTimeout(this.#timer);
    this.scene = null;
    this.#timer = setTimeout(() => this.#next(), GAP_MS);
  }

  choose(shown: boolean): void {
    this.shown = shown;
    remember('gift_effects', shown ? 'yes' : 'no');
    if (!shown) this.close();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#show.clear();
    this.scene = null;
  }

  #next(): void {
    this.#timer = undefined;
    this.scene = this.#show.next(Date.now());
    if (this.scene === null) return;
    this.#began = performance.now();
    this.#endIn(this.scene);
  }

  #endIn({ tier }: Scene): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.skip(), SHOWN_MS[tier === 1 ? 2 : tier]);
  }
}
