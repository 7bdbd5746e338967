//! Whom and what this viewer has blocked, in every room and every open page of this browser.

import { listened, remember, remembered } from '../settings';
import { Blocked, parseBlocks, type Blocks } from './blocks';

let blocks = $state.raw<Blocks>(parseBlocks(remembered('blocked')));
const blocked = $derived(new Blocked(blocks));

export const blockList = {
  get all(): Blocks {
    return blocks;
  },

  set all(all: Blocks) {
    blocks = all;
    remember('blocked', JSON.stringify(all));
  },

  /** Asked about what is said. */
  get blocked(): Blocked {
    return blocked;
  },
};

listened('blocked', (kept) => (blocks = parseBlocks(kept)));
