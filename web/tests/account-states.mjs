// The pages about accounts, in their states, for states.mjs. `api` answers what is asked by method and path:
// `[status, body]`, or 'hang'.

export const HOUR = 3_600_000;
const DAY = 24 * HOUR;
export const before = (ms) => new Date(Date.now() - ms).toISOString();
export const id = (n) => `0199c0de-0000-7000-8000-0000000003${String(n).padStart(2, '0')}`;

const entrance = (changes = {}) => [200, { sign_up: true, recovery_by_mail: true, password_min: 10, ...changes }];
export const refusal = (status, code, more = {}) => [status, { error: { code, message: 'No.', ...more } }];

export const STREAMER = {
  id: id(1),
  handle: 'mei',
  name: '梅子 Mei',
  email: 'mei@example.org',
  role: 'streamer',
  created_at: before(90 * DAY),
  channels: ['mei'],
  moderates: [{ channel: 'wanfeng', name: '晚风电台', accepted: true }],
  may_make_channel: false,
};
const VIEWER = {
  ...STREAMER,
  handle: 'somebody_with_a_long_name',
  name: '',
  email: null,
  role: 'viewer',
  channels: [],
  moderates: [{ channel: 'kitchen', name: 'Slow Kitchen', accepted: false }],
  may_make_channel: true,
};
const OPERATOR = { ...STREAMER, role: 'operator' };

const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1',
  'curl/8.5.0',
];
const SESSIONS = AGENTS.map((agent, i) => ({
  id: id(10 + i),
  current: i === 0,
  agent,
  address: ['203.0.113.7', '2001:db8:85a3::8a2e:370:7334', '198.51.100.23'][i],
  created_at: before((i + 1) * 3 * DAY),
  last_seen_at: before(i * 5 * HOUR),
}));
const TOKENS = [
  { id: id(20), name: 'title bot', scopes: ['channel'], created_at: before(2 * DAY), expires_at: before(-88 * DAY), last_used_at: before(HOUR / 4) },
  { id: id(21), name: '开播提醒', scopes: ['read'], created_at: before(40 * DAY), expires_at: null, last_used_at: null },
];

/** Answers by "METHOD path"; what is missing is not there. */
const answering = (answers) => (method, path) => answers[`${method} ${path}`] ?? refusal(404, 'not_found');
const stranger = (answers = {}) => answering({ 'GET /api/v1/entrance': entrance(), 'GET /api/v1/account': refusal(401, 'not_signed_in'), ...answers });
export const somebody = (me, answers = {}) => answering({ 'GET /api/v1/entrance': entrance(), 'GET /api/v1/account': [200, me], ...answers });
const sessions = { 'GET /api/v1/account/sessions': [200, SESSIONS] };
const tokens = { 'GET /api/v1/account/tokens': [200, TOKENS] };

export const see = (selector) => (page) => page.waitForSelector(selector, { timeout: 10_000 });
const submit = (page) => page.click('form [type=submit]');

async function fill(page, values) {
  await page.waitForSelector('form');
  for (const [name, value] of Object.entries(values)) await page.fill(`[name=${name}]`, value);
  await submit(page);
}

const CREDENTIALS = { handle: 'mei', password: 'three blind mice sing' };

const EMOTES = ['wave', 'tea', 'rain', 'synth', 'moon', 'heart', 'clap', 'sleepy'].map((code) => ({ code, url: `/emotes/${code}`, width: 96, height: 96 }));

/** Somebody who is signed in and lets the room know. */
export const speaker = somebody(STREAMER, {
  'POST /api/v1/rooms/barrage/token': [200, { token: '00.00', until: new Date(Date.now() + HOUR).toISOString() }],
  'GET /api/v1/channels/barrage/emotes': [200, { emotes: EMOTES }],
});

const gift = (id, en, zh, price, tier, effect, glyph, left = null) => ({ id, name: { en, 'zh-CN': zh }, price, tier, effect, glyph, left });
const SHELF = {
  gifts: [
    gift('rose', 'Rose', '玫瑰', 1, 1, 'float', '🌹'),
    gift('applause', 'Applause', '掌声', 5, 1, 'float', '👏'),
    gift('tea', 'Cup of tea', '一杯茶', 20, 1, 'float', '🍵'),
    gift('cake', 'Cake', '蛋糕', 66, 2, 'burst', '🎂'),
    gift('fireworks', 'Fireworks', '烟花', 520, 3, 'rain', '🎆', 12),
    gift('rocket', 'Rocket', '火箭', 5_000, 4, 'rocket', '🚀'),
    gift('lantern', 'Lantern of the first winter', '初雪灯笼', 888, 3, 'rain', '🏮', 0),
  ],
  super_chat: [
    { from: 30, pin_s: 60, text_max: 40, colour: '#2a60b2' },
    { from: 50, pin_s: 120, text_max: 50, colour: '#427d9e' },
    { from: 100, pin_s: 300, text_max: 60, colour: '#8a6f2a' },
    { from: 500, pin_s: 1_800, text_max: 80, colour: '#a85a3c' },
    { from: 1_000, pin_s: 3_600, text_max: 90, colour: '#a23b4a' },
    { from: 2_000, pin_s: 7_200, text_max: 100, colour: '#7d2248' },
  ],
  down_since_ms: null,
};
/** Somebody in another's room, with so many coins. */
export const giver = (coins, promo = 0, { frozen = false, channels = [] } = {}) => {
  const wallet = { coins, promo, version: 3, promo_version: 1, frozen };
  return somebody(
    { ...STREAMER, role: 'viewer', channels },
    {
      'POST /api/v1/rooms/barrage/token': [200, { token: '00.00', until: new Date(Date.now() + HOUR).toISOString() }],
      'GET /api/v1/channels/barrage/emotes': [200, { emotes: EMOTES }],
      'GET /api/v1/gifts': [200, SHELF],
      'GET /api/v1/wallet': [200, { wallet, down_since_ms: null, provider: 'sandbox', packs: [] }],
    },
  );
};

/** Anybody, who sees what can be given. */
export const onlooker = stranger({ 'GET /api/v1/gifts': [200, SHELF] });

export const ACCOUNT_STATES = {
  'sign-in': { path: '/sign-in', api: stranger(), ready: see('.below a[href^="/sign-up"]') },
  'sign-in-wrong': {
    path: '/sign-in?then=/studio',
    api: stranger({ 'POST /api/v1/session': refusal(401, 'wrong_credentials') }),
    prepare: (page) => fill(page, CREDENTIALS),
    ready: see('form [role=alert] p'),
  },
  'sign-in-busy': {
    path: '/sign-in',
    api: stranger({ 'POST /api/v1/session': 'hang' }),
    prepare: (page) => fill(page, CREDENTIALS),
    ready: see('form[aria-busy=true]'),
  },
  'sign-in-closed-account': {
    path: '/sign-in',
    api: stranger({
      'GET /api/v1/entrance': entrance({ sign_up: false }),
      'POST /api/v1/session': refusal(403, 'account_disabled', { message: 'This account was closed by an operator: insults in the chat' }),
    }),
    prepare: (page) => fill(page, CREDENTIALS),
    ready: see('form [role=alert] p'),
  },
  'sign-up': { path: '/sign-up', api: stranger(), ready: see('form') },
  'sign-up-refused': {
    path: '/sign-up',
    api: stranger(),
    prepare: (page) => fill(page, { handle: 'me', password: 'short', email: 'mei' }),
    ready: see('.problem'),
  },
  'sign-up-taken': {
    path: '/sign-up',
    api: stranger({ 'POST /api/v1/account': refusal(409, 'handle_taken') }),
    prepare: (page) => fill(page, CREDENTIALS),
    ready: see('.problem'),
  },
  'sign-up-guessable': {
    path: '/sign-up',
    api: stranger({ 'POST /api/v1/account': refusal(422, 'invalid', { field: 'password', reason: 'guessable' }) }),
    prepare: (page) => fill(page, { handle: 'mei', password: 'password123' }),
    ready: see('.problem'),
  },
  'sign-up-closed': { path: '/sign-up', api: stranger({ 'GET /api/v1/entrance': entrance({ sign_up: false }) }), ready: see('.notice') },
  recover: { path: '/recover', api: stranger(), ready: see('form') },
  'recover-by-operator': {
    path: '/recover',
    api: stranger({ 'GET /api/v1/entrance': entrance({ recovery_by_mail: false }) }),
    ready: see('.notice'),
  },
  'recover-sent': {
    path: '/recover',
    api: stranger({ 'POST /api/v1/recoveries': [202, null] }),
    prepare: (page) => fill(page, { email: 'mei@example.org' }),
    ready: see('.notice'),
  },
  'recover-set': { path: '/recover#br_secret', api: stranger(), ready: see('form') },
  'recover-expired': {
    path: '/recover#br_secret',
    api: stranger({ 'POST /api/v1/recoveries/use': refusal(410, 'link_expired') }),
    prepare: (page) => fill(page, { password: CREDENTIALS.password }),
    ready: see('form [role=alert] p'),
  },
  'recover-done': {
    path: '/recover#br_secret',
    api: stranger({ 'POST /api/v1/recoveries/use': [200, { handle: 'mei' }] }),
    prepare: (page) => fill(page, { password: CREDENTIALS.password }),
    ready: see('.notice'),
  },
  account: { path: '/account', signedIn: true, api: somebody(STREAMER), ready: see('form') },
  'account-asked': { path: '/account', signedIn: true, api: somebody(VIEWER), ready: see('form') },
  'account-saved': {
    path: '/account',
    signedIn: true,
    api: somebody(STREAMER, { 'PATCH /api/v1/account': [200, STREAMER] }),
    prepare: async (page) => (await page.waitForSelector('form'), submit(page)),
    ready: see('.saved svg'),
  },
  'account-wrong-password': {
    path: '/account',
    signedIn: true,
    api: somebody(STREAMER, { 'POST /api/v1/account/password': refusal(422, 'invalid', { field: 'current', reason: 'wrong_password' }) }),
    prepare: async (page) => {
      await page.waitForSelector('form');
      await page.fill('[name=current]', 'not this one');
      await page.fill('[name=password]', CREDENTIALS.password);
      await page.locator('form', { has: page.locator('[name=current]') }).locator('[type=submit]').click();
    },
    ready: see('.problem'),
  },
  'account-unreachable': { path: '/account', signedIn: true, api: answering({ 'GET /api/v1/account': [500, null] }), ready: see('.notice') },
  'account-loading': { path: '/account', signedIn: true, api: answering({ 'GET /api/v1/account': 'hang' }), ready: see('[aria-busy]') },
  'account-menu': {
    path: '/',
    signedIn: true,
    api: somebody(OPERATOR),
    prepare: (page) => page.click('[aria-expanded]'),
    ready: see('.list.open'),
  },
  'operator-only': { path: '/admin', signedIn: true, api: somebody(STREAMER), ready: see('.notice') },
  sessions: { path: '/account/sessions', signedIn: true, api: somebody(STREAMER, sessions), ready: see('.agent') },
  'sessions-error': { path: '/account/sessions', signedIn: true, api: somebody(STREAMER, { 'GET /api/v1/account/sessions': [500, null] }), ready: see('.empty') },
  'sessions-confirm': {
    path: '/account/sessions',
    signedIn: true,
    api: somebody(STREAMER, sessions),
    prepare: (page) => page.locator('li .button').nth(1).click(),
    ready: see('dialog[open]'),
  },
  tokens: { path: '/account/tokens', signedIn: true, api: somebody(STREAMER, tokens), ready: see('dl') },
  'tokens-empty': { path: '/account/tokens', signedIn: true, api: somebody(STREAMER, { 'GET /api/v1/account/tokens': [200, []] }), ready: see('.empty') },
  'tokens-loading': { path: '/account/tokens', signedIn: true, api: somebody(STREAMER, { 'GET /api/v1/account/tokens': 'hang' }), ready: see('.skeleton') },
  'tokens-new': {
    path: '/account/tokens',
    signedIn: true,
    api: somebody(OPERATOR, tokens),
    prepare: (page) => page.click('.button.primary'),
    ready: see('dialog[open] form'),
  },
  'tokens-made': {
    path: '/account/tokens',
    signedIn: true,
    api: somebody(STREAMER, { ...tokens, 'POST /api/v1/account/tokens': [201, { secret: 'bt_4n8s6yq2wm7d3kz5x9c1v0b8h6j4f2ga', token: TOKENS[0] }] }),
    prepare: async (page) => {
      await page.click('.button.primary');
      await page.fill('dialog [name=name]', 'title bot');
      await page.click('dialog [type=submit]');
    },
    ready: see('dialog code'),
  },
};
