// The wallet and the sandbox's checkout in their states, for states.mjs.

import { before, HOUR, id, refusal, see, somebody, STREAMER } from './account-states.mjs';

const pack = (amount, coins, bonus = 0) => ({ id: String(amount / 100), currency: 'CNY', amount, coins, bonus });
const PACKS = [pack(600, 60), pack(3_000, 300), pack(6_800, 680, 20), pack(12_800, 1_280, 60), pack(32_800, 3_280, 240), pack(64_800, 6_480, 720)];
const WALLET = {
  wallet: { coins: 1_260, promo: 66, version: 3, promo_version: 1, frozen: false },
  down_since_ms: null,
  provider: 'sandbox',
  packs: PACKS,
};
const order = (n, state, { id: _, ...bought }, hours) => ({
  id: id(n), state, provider: 'sandbox', ...bought, checkout_url: state === 'open' ? `/pay/${id(n)}` : null, made_at: before(hours * HOUR),
  paid_at: state === 'open' || state === 'failed' || state === 'expired' ? null : before(hours * HOUR - 60_000),
});
const ORDERS = [
  order(40, 'open', PACKS[2], 0.1), order(41, 'paid', PACKS[3], 4), order(42, 'failed', PACKS[0], 26), order(43, 'expired', PACKS[1], 80),
  order(44, 'refunded', PACKS[0], 200), order(45, 'disputed', PACKS[5], 900),
];
const entry = (seq, kind, coins, promo, hours, more = {}) => ({ seq, transaction: id(50 + seq), at: before(hours * HOUR), kind, coins, promo, ...more });
const LINES = [
  entry(9, 'gift', -10, -2, 0.2, { gift: { id: 'rose', name: { en: 'Rose', 'zh-CN': '玫瑰' }, count: 12 }, channel: { handle: 'barrage', name: 'Barrage' } }),
  entry(8, 'top_up', 1_280, 60, 4),
  entry(7, 'gift', -5_000, 0, 30, { gift: { id: 'rocket', name: { en: 'Rocket', 'zh-CN': '火箭' }, count: 1 }, channel: { handle: 'somebody_with_a_long_name', name: '晚风' } }),
  entry(6, 'refund', 66, 0, 31, { gift: { id: 'cake', name: { en: 'Cake', 'zh-CN': '蛋糕' }, count: 1 }, channel: { handle: 'kitchen', name: 'Slow Kitchen' } }),
  entry(5, 'chargeback', -6_480, -720, 800),
];
const purchases = (answers = {}) =>
  somebody(
    { ...STREAMER, role: 'viewer', channels: [] },
    {
      'GET /api/v1/wallet': [200, WALLET],
      'GET /api/v1/wallet/top-ups': [200, { top_ups: ORDERS }],
      'GET /api/v1/wallet/history': [200, { lines: LINES, next: null }],
      ...answers,
    },
  );
const nothing = { 'GET /api/v1/wallet/top-ups': [200, { top_ups: [] }], 'GET /api/v1/wallet/history': [200, { lines: [], next: null }] };
const walletWith = (changes) => ({ 'GET /api/v1/wallet': [200, { ...WALLET, ...changes }] });

/** A checkout of the sandbox, as it stands. */
const checkout = (state, ready = '.outcome') => {
  const answer = state === 'hang' ? 'hang' : typeof state === 'number' ? refusal(state, 'no_such_thing') : [200, order(40, state, PACKS[2], 1)];
  return {
    path: `/pay/${id(40)}?then=/@barrage`,
    signedIn: true,
    api: purchases({ [`GET /api/v1/payments/sandbox/${id(40)}`]: answer }),
    ready: see(ready),
  };
};

export const WALLET_STATES = {
  wallet: { path: '/wallet', signedIn: true, api: purchases(), ready: see('td.actions') },
  'wallet-from-room': {
    path: `/wallet?then=/@barrage&top_up=${id(41)}`,
    signedIn: true,
    api: purchases(),
    ready: see('.told'),
  },
  'wallet-empty': {
    path: '/wallet',
    signedIn: true,
    api: purchases({ ...nothing, ...walletWith({ wallet: { ...WALLET.wallet, coins: 0, promo: 0 } }) }),
    ready: async (page) => page.waitForFunction(() => document.querySelectorAll('.empty').length === 2),
  },
  'wallet-frozen': {
    path: '/wallet',
    signedIn: true,
    api: purchases({ ...nothing, ...walletWith({ wallet: { ...WALLET.wallet, frozen: true }, down_since_ms: Date.now() - HOUR, packs: [] }) }),
    ready: see('.told + .told'),
  },
  'wallet-loading': {
    path: '/wallet',
    signedIn: true,
    api: purchases({ 'GET /api/v1/wallet': 'hang', 'GET /api/v1/wallet/top-ups': 'hang', 'GET /api/v1/wallet/history': 'hang' }),
    ready: see('.pack-to-come'),
  },
  'wallet-error': {
    path: '/wallet',
    signedIn: true,
    api: purchases({ 'GET /api/v1/wallet': [500, null], 'GET /api/v1/wallet/top-ups': [500, null], 'GET /api/v1/wallet/history': [500, null] }),
    ready: see('.empty'),
  },
  'wallet-refused': {
    path: '/wallet',
    signedIn: true,
    api: purchases({ 'POST /api/v1/wallet/top-ups': refusal(503, 'payments_unavailable') }),
    ready: async (page) => {
      await page.locator('.packs button').first().click();
      await page.locator('p.failed:not(:empty)').waitFor();
    },
  },
  'pay-open': checkout('open', '.ways .primary'),
  'pay-paid': checkout('paid'),
  'pay-declined': checkout('failed'),
  'pay-expired': checkout('expired'),
  'pay-loading': checkout('hang', '.to-come'),
  'pay-missing': checkout(404, '.empty'),
};
