import { describe, expect, it } from 'vitest';
import type { TopUp, TopUpState } from '../api/money';
import { buyOnce, type Memory } from './buying';

const order = (id: string, state: TopUpState): TopUp => ({
  id, state, provider: 'sandbox', currency: 'CNY', amount: 600, coins: 60, bonus: 0, checkout_url: null, made_at: '', paid_at: null,
});

/** What a tab keeps, and a server that answers the same key with the same order. */
function shop() {
  let kept: string | null = null;
  let made = 0;
  const orders = new Map<string, TopUp>();
  const memory: Memory = { get: () => kept, set: (key) => void (kept = key) };
  return {
    orders,
    memory,
    press: (arrives = true) => {
      const ask = async (key: string): Promise<TopUp> => {
        const one = orders.get(key) ?? order(key, 'open');
        orders.set(key, one);
        if (!arrives) throw new Error('no answer came');
        return one;
      };
      return buyOnce(ask, memory, () => `k${(made += 1)}`);
    },
  };
}

describe('buyOnce', () => {
  it('makes one order of presses of which the first was not answered', async () => {
    const { press, orders } = shop();
    await expect(press(false)).rejects.toThrow('no answer');
    expect((await press()).id).toBe('k1');
    expect(orders.size).toBe(1);
  });

  it('makes another once the first was answered', async () => {
    const { press } = shop();
    expect([(await press()).id, (await press()).id]).toEqual(['k1', 'k2']);
  });

  it('makes another where the one that was not answered is over', async () => {
    const { press, orders } = shop();
    await expect(press(false)).rejects.toThrow('no answer');
    orders.set('k1', order('k1', 'expired'));
    expect(await press()).toMatchObject({ id: 'k2', state: 'open' });
  });
});
