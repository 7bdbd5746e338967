//! Asking for a top-up once, however often it is pressed or the page is loaded before the answer. Pure.

import type { TopUp } from '../api/money';

/** Where the key of what is asked for is kept until it is answered. */
export interface Memory {
  get: () => string | null;
  set: (key: string | null) => void;
}

export async function buyOnce(ask: (key: string) => Promise<TopUp>, memory: Memory, fresh: () => string): Promise<TopUp> {
  const known = memory.get();
  const order = await askUnder(known ?? fresh(), ask, memory);
  // What was asked for then is over already: this press is for another.
  return known !== null && order.state !== 'open' ? askUnder(fresh(), ask, memory) : order;
}

async function askUnder(key: string, ask: (key: string) => Promise<TopUp>, memory: Memory): Promise<TopUp> {
  memory.set(key);
  const order = await ask(key);
  memory.set(null);
  return order;
}
