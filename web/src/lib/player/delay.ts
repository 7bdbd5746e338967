//! Which delay the viewer chose, remembered between visits: the standard one of LL-HLS, or the low one of FLV.

import { remember, remembered } from '../settings';

export type Delay = 'standard' | 'low';

export function parseDelay(text: string | null): Delay {
  return text === 'low' ? 'low' : 'standard';
}

export function rememberedDelay(): Delay {
  return parseDelay(remembered('delay'));
}

export function rememberDelay(delay: Delay): void {
  remember('delay', delay);
}
