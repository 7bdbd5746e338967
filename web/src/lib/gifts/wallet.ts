//! What somebody has, as the server said it last. Pure.

export interface Wallet {
  coins: number;
  /** Given to them: can be spent, is never paid out. */
  promo: number;
  /** Rises with each change of `coins`. */
  version: number;
  /** Rises with each change of `promo`. */
  promo_version: number;
  /** Nothing can be spent from it. */
  frozen: boolean;
}

/** What is known after hearing this: each balance only ever moves forward, whichever way the news came. */
export function later(known: Wallet | null, heard: Wallet): Wallet {
  if (known === null) return heard;
  const coins = heard.version >= known.version ? heard : known;
  const promo = heard.promo_version >= known.promo_version ? heard : known;
  return {
    coins: coins.coins,
    version: coins.version,
    promo: promo.promo,
    promo_version: promo.promo_version,
    frozen: coins === heard && promo === heard ? heard.frozen : known.frozen,
  };
}

/** What can be spent. */
export function spendable({ coins, promo }: Wallet): number {
  return coins + promo;
}
