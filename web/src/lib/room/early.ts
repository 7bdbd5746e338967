//! A room's first question to the server, asked while the page's own code is still on its way.

import { getChannel, type Answer, type ChannelAnswer } from '../api';

const PATIENCE_MS = 8_000;

let asked: { handle: string; answer: Promise<Answer<ChannelAnswer>> } | null = null;

export function askEarly(handle: string): void {
  const answer = getChannel(handle, AbortSignal.timeout(PATIENCE_MS));
  // Who takes it hears of a failure; it may be that nobody does.
  answer.catch(() => undefined);
  asked = { handle, answer };
}

/** The answer to what was asked early, once; null if nothing was. */
export function takeEarly(handle: string): Promise<Answer<ChannelAnswer>> | null {
  const early = asked?.handle === handle ? asked.answer : null;
  asked = null;
  return early;
}
