//! Which way of playing the viewer chose, remembered between visits: the nearest to live that goes, the standard delay of
//! LL-HLS, or the low one of FLV.

import { remember, remembered } from '../settings';

export type Delay = 'auto' | 'standard' | 'low';

export function parseDelay(text: string | null): Delay {
  return text === 'standard' || text === 'low' ? text : 'auto';
}

export function rememberedDelay(): Delay {
  return parseDelay(remembered('delay'));
}

export function rememberDelay(delay: Delay): void {
  remember('delay', delay);
}
