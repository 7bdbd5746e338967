//! Danmaku over the picture as this viewer wants them, remembered.

import { remember, remembered } from '../settings';
import type { Manner } from './overlay';
import { AT_ONCE, HEIGHT, parseSettings, SCALE, SCROLL_MS, type Settings } from './settings';

const LESS_MOTION = '(prefers-reduced-motion: reduce)';

export class DanmakuView {
  #settings = $state.raw<Settings>(parseSettings(remembered('danmaku_settings')));
  /** What the viewer chose; null as long as they have not. */
  #chosen = $state<boolean | null>(chosenBefore());
  /** The system asks for less motion. */
  calm = $state(matchMedia(LESS_MOTION).matches);
  /** For as long as the page is open: what is paused today is not what somebody wants tomorrow. */
  paused = $state(false);

  constructor() {
    $effect(() => {
      const media = matchMedia(LESS_MOTION);
      const look = (): void => void (this.calm = media.matches);
      media.addEventListener('change', look);
      return () => media.removeEventListener('change', look);
    });
  }

  /** Who wants nothing to move is shown none unless they ask for them; the column has them all. */
  get shown(): boolean {
    return this.#chosen ?? !this.calm;
  }

  set shown(shown: boolean) {
    this.#chosen = shown;
    remember('danmaku', shown ? 'on' : 'off');
    if (!shown) this.paused = false;
  }

  get settings(): Settings {
    return this.#settings;
  }

  set settings(settings: Settings) {
    this.#settings = settings;
    remember('danmaku_settings', JSON.stringify(settings));
  }

  get standing(): boolean {
    return this.settings.motion === 'system' ? this.calm : this.settings.motion === 'stand';
  }

  manner(still: boolean): Manner {
    const { density, area, size, speed } = this.settings;
    return {
      at_once: AT_ONCE[density],
      area: HEIGHT[area],
      scale: SCALE[size],
      scroll_ms: SCROLL_MS[speed],
      standing: this.standing,
      held: this.paused,
      still,
    };
  }
}

function chosenBefore(): boolean | null {
  const kept = remembered('danmaku');
  return kept === null ? null : kept === 'on';
}
