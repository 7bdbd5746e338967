//! What the server lets strangers do, as state. It does not change while a page is open.

import { getEntrance, type Entrance } from './api/account';

let known = $state.raw<Entrance | null>(null);
let settled = $state(false);

export const entrance = {
  /** Null until it is known; a page works without, if less helpfully. */
  get known(): Entrance | null {
    return known;
  },

  /** Whether the answer came, or none will. */
  get settled(): boolean {
    return settled;
  },

  async load(): Promise<void> {
    if (known) return;
    try {
      known = await getEntrance();
    } catch {
      // The form that is sent next will tell what is the matter.
    }
    settled = true;
  },
};
