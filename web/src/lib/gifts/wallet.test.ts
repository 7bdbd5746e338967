import { describe, expect, it } from 'vitest';
import { later, type Wallet } from './wallet';

const wallet = (changes: Partial<Wallet>): Wallet => ({ coins: 90, promo: 5, version: 41, promo_version: 12, frozen: false, ...changes });

describe('later', () => {
  it('takes the first answer as it is', () => {
    expect(later(null, wallet({}))).toEqual(wallet({}));
  });

  it('never shows an older balance over a newer one', () => {
    expect(later(wallet({}), wallet({ coins: 100, version: 40 }))).toEqual(wallet({}));
  });

  it('takes each of the two by its own version', () => {
    const heard = wallet({ coins: 100, version: 40, promo: 0, promo_version: 13 });
    expect(later(wallet({}), heard)).toEqual(wallet({ promo: 0, promo_version: 13 }));
    const other = wallet({ coins: 80, version: 42, promo: 9, promo_version: 11 });
    expect(later(wallet({}), other)).toEqual(wallet({ coins: 80, version: 42 }));
  });

  it('comes to the same in whatever order the news arrives', () => {
    const news = [wallet({}), wallet({ coins: 80, version: 42 }), wallet({ coins: 70, version: 43, promo: 1, promo_version: 13 })];
    const there = news.reduce<Wallet | null>(later, null);
    expect([...news].reverse().reduce<Wallet | null>(later, null)).toEqual(there);
  });

  it('hears that a wallet was frozen, but not from what is out of date', () => {
    expect(later(wallet({}), wallet({ frozen: true })).frozen).toBe(true);
    expect(later(wallet({ frozen: true }), wallet({ version: 40 })).frozen).toBe(true);
  });
});
