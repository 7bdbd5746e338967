// The studio and what operators see, in their states, for states.mjs. `api` answers what is asked by method and path:
// `[status, body]`, or 'hang'.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const before = (ms) => new Date(Date.now() - ms).toISOString();
const id = (n) => `0199c0de-0000-7000-8000-0000000004${String(n).padStart(2, '0')}`;

const OWNER = {
  id: id(1),
  handle: 'barrage',
  name: 'Barrage',
  email: null,
  role: 'streamer',
  created_at: before(90 * DAY),
  channels: ['barrage'],
  moderates: [],
  may_make_channel: false,
};
const VIEWER = { ...OWNER, handle: 'mei', name: '梅子', role: 'viewer', channels: [], may_make_channel: true };
const OPERATOR = { ...OWNER, role: 'operator' };

const KEYS = [
  { id: id(10), name: 'the laptop', created_at: before(2 * DAY), last_used_at: before(HOUR) },
  { id: id(11), name: '备用电脑', created_at: before(60 * DAY), last_used_at: null },
];
const SECRET = 'bk_7q2m5s9xw4k8d3z6c1v0b8h6j4f2ga5nt';
const MODERATORS = [
  { handle: 'wanfeng', name: '晚风', invited_at: before(20 * DAY), accepted: true },
  { handle: 'somebody_with_a_long_name', name: '', invited_at: before(HOUR), accepted: false },
];
const EMOTES = ['clap', 'hi', 'hype_train', 'laugh', 'lurk', 'rain', 'synth_master_of_the_night', 'wow'].map((code, i) => ({
  code,
  url: `/emotes/${i}`,
  width: 128,
  height: 128,
}));
/** One pixel. */
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==', 'base64');
const hook = (n, more = {}) => ({
  id: id(60 + n), url: 'https://example.org/barrage', events: ['broadcast.started', 'broadcast.ended'], created_at: before(DAY),
  failing_since: null, disabled: null, waiting: 0, dropped: 0, ...more,
});
const HOOKS = [
  hook(1),
  hook(2, { url: 'https://bots.example.net/a/rather/long/path/that/names/a/channel?and=a&query=too', events: ['danmaku.sent', 'danmaku.deleted'], failing_since: before(HOUR), waiting: 212, dropped: 40 }),
  hook(3, { url: 'http://gone.example.com/', disabled: { at: before(HOUR), why: 'failing' } }),
];
const delivery = (n, more) => ({
  id: id(70 + n), type: 'danmaku.sent', events: 17, state: 'delivered', made_at: before(n * HOUR), attempts: 1, last_at: before(n * HOUR),
  last_status: 200, last_error: null, next_at: null, ...more,
});
const DELIVERIES = [
  delivery(1, { state: 'waiting', attempts: 4, last_status: null, last_error: 'timeout', next_at: before(-HOUR) }),
  delivery(2),
  delivery(3, { type: 'broadcast.ended', state: 'failed', attempts: 12, last_status: 500 }),
];
const gift = (id, glyph, en, zh, price, tier, effect, more = {}) => ({
  id, glyph, name: { en, 'zh-CN': zh }, price, tier, effect, stock: null, left: null, sold: 0, on_sale: true, ...more,
});
const GIFTS = [
  gift('rose', '🌹', 'Rose', '玫瑰', 1, 1, 'float'),
  gift('lantern', '🏮', 'Lantern', '灯笼', 66, 2, 'rain', { on_sale: false }),
  gift('rocket', '🚀', 'Rocket', '火箭', 5000, 4, 'rocket', { stock: 1000, left: 12, sold: 988 }),
];
const PAST = [
  ['Evening set: synth and rain', 2.5, 'finished', null],
  ['', 0.2, 'stopped', 'This is not allowed here: music of others, for the third time in a week.'],
  ['Writing a parser from nothing, part 4: the part where everything is a state machine and the title is far too long', 5, 'lost', null],
].map(([title, hours, ended_how, end_reason], i) => ({
  id: id(20 + i),
  title,
  category: 'Music',
  started_at: before((i + 1) * DAY),
  ended_at: before((i + 1) * DAY - hours * HOUR),
  ended_how,
  end_reason,
}));

const day = (n) => before(n * DAY).slice(0, 10);
const EARNINGS = {
  held: 1_284, available: 20_406, promo: 35, owed: 70, hold_days: 7,
  contract: { version: 3, streamer_bp: 6_250, agency_bp: 750, platform_bp: 3_000, agency: { id: id(80), name: '晚风公会 Evening Wind' }, own: true },
  days: [[0, 12, 238, 0], [1, 140, 1_116, 70], [9, 2_031, 20_406, 0]].map(([n, gifts, earned, taken_back]) => ({
    day: day(n), gifts, earned, taken_back, releases_on: day(n - 8), released: n > 8,
  })),
};
const ROCKET = { id: 'rocket', name: { en: 'Rocket', 'zh-CN': '火箭' }, count: 1 };
const earned = (n, more) => ({
  seq: 900 - n, transaction: id(80 + n), at: before(n * HOUR), kind: 'gift', coins: 0, earned: 0, promo: 0, released: 0, reversed: false, ...more,
});
const EARNED = [
  earned(1, { gift: { id: 'rose', name: { en: 'Rose', 'zh-CN': '玫瑰' }, count: 99 }, by: { handle: 'somebody_with_a_long_name', name: '' }, coins: 99, earned: 61 }),
  earned(2, { kind: 'chargeback', gift: ROCKET, coins: null, earned: -350 }),
  earned(3, { gift: ROCKET, by: { handle: 'mei', name: '梅子' }, coins: 500, earned: 350, reversed: true }),
  earned(4, { kind: 'release', coins: null, released: 20_406 }),
  earned(5, { gift: ROCKET, by: { handle: 'wanfeng', name: '晚风' }, coins: 500, earned: 290, promo: 35 }),
];
const EARNINGS_PATH = 'GET /api/v1/channels/barrage/earnings';

const ROSES = { id: 'rose', name: { en: 'Rose', 'zh-CN': '玫瑰' }, count: 99 };
const top_up = (n, more) => ({
  id: id(84 + n), state: 'paid', provider: 'stripe', currency: 'CNY', amount: 600, coins: 60, bonus: 0, checkout_url: null,
  made_at: before(n * DAY), paid_at: before(n * DAY), ...more,
});
const line = (n, more) => ({
  seq: 800 - n, transaction: id(89 + n), at: before(n * HOUR), kind: 'gift', coins: 0, promo: 0, reversed: false, reversible: false, ...more,
});
const TO_STAGE = { handle: 'barrage', name: 'Barrage' };
const MONEY = {
  user: { handle: 'mei', name: '梅子' },
  wallet: { coins: 12_408, promo: 35, version: 41, promo_version: 12, frozen: false },
  top_ups: [
    top_up(1, { state: 'open', paid_at: null, amount: 64_800, coins: 6_480, bonus: 400 }),
    top_up(2, { amount: 64_800, coins: 6_480, bonus: 400 }),
    top_up(3, { state: 'disputed' }),
    top_up(9, { state: 'refunded', currency: 'USD', amount: 99 }),
  ],
  lines: [
    line(1, { gift: ROSES, channel: TO_STAGE, coins: -64, promo: -35, reversible: true }),
    line(2, { kind: 'minor_refund', gift: ROCKET, channel: { handle: 'somebody_with_a_long_name', name: '' }, coins: 5_000 }),
    line(3, { gift: ROCKET, channel: { handle: 'somebody_with_a_long_name', name: '' }, coins: -5_000, reversed: true }),
    line(4, { kind: 'top_up', coins: 6_480, promo: 400 }),
    line(5, { kind: 'unfreeze' }),
  ],
  next: null,
};
const noted = (n, what, subject, reason) => ({ id: id(20 + n), at: before(n * HOUR), by: 'barrage', what, subject, reason });
const NOTES = [
  noted(1, 'reversal', id(92), 'Their mother wrote: the boy is eleven, and used her telephone. She sent the receipts of all three payments.'),
  noted(2, 'unfreeze', 'mei', '已与本人核实'),
  noted(3, 'refund', id(93), 'Bought twice'),
  noted(4, 'contract', 'barrage', 'Agreed on with 晚风公会 for a year'),
  noted(5, 'gift', 'rocket', 'price'),
];
const AGENCIES = [{ id: id(80), name: '晚风公会 Evening Wind' }, { id: id(81), name: 'North Harbour' }];
const MONEY_PATH = 'GET /api/v1/admin/wallets/mei';
const NOTES_PATH = 'GET /api/v1/admin/money/notes';
const AGENCIES_PATH = 'GET /api/v1/admin/agencies';
const CONTRACT_PATH = 'GET /api/v1/admin/channels/barrage/contract';
const MONEY_ANSWERS = {
  [MONEY_PATH]: [200, MONEY],
  [NOTES_PATH]: [200, { notes: NOTES, next: null }],
  [AGENCIES_PATH]: [200, AGENCIES],
  [CONTRACT_PATH]: [200, EARNINGS.contract],
};

const PROBLEMS = [
  { code: 'keyframes_far_apart', interval_ms: 10_000 },
  { code: 'few_frames', fps: 14.8 },
  { code: 'few_bits', bitrate_bps: 812_000, wanted_bps: 1_244_160 },
  { code: 'frames_dropped', frames: 1_234 },
  { code: 'no_sound' },
];

const USERS = [
  { id: id(30), handle: 'barrage', name: 'Barrage', email: 'barrage@example.org', role: 'operator', created_at: before(200 * DAY), disabled: null },
  { id: id(31), handle: 'wanfeng', name: '晚风电台', email: null, role: 'streamer', created_at: before(90 * DAY), disabled: null },
  { id: id(32), handle: 'somebody_with_a_long_name', name: '', email: 'somebody.with.a.long.name@mail.example.org', role: 'viewer', created_at: before(9 * DAY), disabled: 'Advertising in every room, again and again' },
  ...Array.from({ length: 47 }, (_, i) => ({ id: id(40 + i), handle: `viewer_${i}`, name: '', email: null, role: 'viewer', created_at: before(i * HOUR), disabled: null })),
];
const CONFIG = {
  data_dir: '/var/lib/barrage',
  public_url: '',
  trusted_proxies: ['10.0.0.0/8', '2001:db8::/32'],
  accounts: { sign_up: true, make_channel: true },
  hls: { part_ms: 200, segment_ms: 2_000, window_s: 36 },
  ingest: { caps: { bitrate_kbps: 50_000, width: 3_840, height: 2_160 }, grace_ms: 30_000 },
};
const HEALTH = {
  version: '0.1.0',
  started_at: before(3 * DAY),
  dependencies: [
    { name: 'database', kind: 'PostgreSQL', ok: true, answered_us: 412, problem: null },
    { name: 'data directory', kind: '/var/lib/barrage', ok: true, answered_us: null, problem: null },
    { name: 'ffmpeg', kind: 'ffmpeg version 7.1', ok: true, answered_us: null, problem: null },
  ],
};
const FAILING = {
  ...HEALTH,
  dependencies: HEALTH.dependencies.map((one) =>
    one.name === 'data directory' ? { ...one, ok: false, problem: 'only 62 MB are free' } : one,
  ),
};

const answering = (answers) => (method, path) => answers[`${method} ${path}`] ?? [404, { error: { code: 'not_found', message: 'No.' } }];
const somebody = (me, answers = {}) =>
  answering({
    'GET /api/v1/account': [200, me],
    'GET /api/v1/entrance': [200, { sign_up: true, recovery_by_mail: false, password_min: 10, rtmp_port: 2935, https_port: 8443, whip: true }],
    'GET /api/v1/channels/barrage/keys': [200, KEYS],
    [`GET /api/v1/channels/barrage/keys/${KEYS[0].id}`]: [200, { key: KEYS[0], secret: SECRET }],
    'GET /api/v1/channels/barrage/moderators': [200, MODERATORS],
    'GET /api/v1/channels/barrage/emotes': [200, { emotes: EMOTES }],
    'GET /api/v1/channels/barrage/webhooks': [200, HOOKS],
    'GET /api/v1/channels/barrage/broadcasts': [200, PAST],
    [EARNINGS_PATH]: [200, EARNINGS],
    [`${EARNINGS_PATH}/lines`]: [200, { lines: EARNED, next: null }],
    'GET /api/v1/admin/users': [200, USERS],
    'GET /api/v1/admin/config': [200, CONFIG],
    'GET /api/v1/admin/health': [200, HEALTH],
    ...answers,
  });
const refusal = (status, code, more = {}) => [status, { error: { code, message: 'No.', ...more } }];
const see = (selector) => (page) => page.waitForSelector(selector, { timeout: 20_000 });

/** `live()` and `offline` are what the channel's page answers, `wall()` the list of what is live. */
export function studioStates({ live, offline, wall }) {
  const studio = (section, rest = {}) => ({
    path: `/studio${section}`,
    signedIn: true,
    broadcast: null,
    api: somebody(OWNER),
    channel: () => offline,
    ...rest,
  });
  const admin = (section, rest = {}) => ({ path: `/admin${section}`, signedIn: true, api: somebody(OPERATOR), ...rest });
  const channels = wall().streams.map(({ channel }, i) => ({ channel, live: i % 2 === 0 }));
  const listed = { 'GET /api/v1/admin/channels': [200, channels] };
  const failing = (path) => ({ api: somebody(OPERATOR, { [`GET ${path}`]: [500, null] }) });
  const looking = (section, at) => ({ handle = at, api = {}, ready }) =>
    admin(section, {
      api: somebody(OPERATOR, { ...MONEY_ANSWERS, ...api }),
      prepare: async (page) => {
        await page.fill('[name=handle]', handle);
        await page.locator('form', { has: page.locator('[name=handle]') }).locator('[type=submit]').click();
      },
      ready,
    });
  const money = looking('/money', 'mei');
  const contracts = looking('/money/contracts', 'barrage');
  const hanging = (path) => ({ api: somebody(OPERATOR, { [`GET ${path}`]: 'hang' }) });

  return {
    'studio-live': studio('', {
      broadcast: undefined,
      channel: () => live(),
      ready: async (page) => {
        await see('[data-state=playing]')(page);
        await page.waitForTimeout(3_500);
      },
    }),
    'studio-problems': studio('', { channel: () => live({ problems: PROBLEMS }), ready: see('[data-problem]') }),
    'studio-waiting': studio('', {
      channel: () => live({ state: 'waiting', problems: [{ code: 'publisher_gone' }] }),
      ready: see('[data-problem=publisher_gone]'),
    }),
    'studio-offline': studio('', { ready: see('[data-state=offline]') }),
    'studio-ended': studio('', {
      // Another page that opens is told once more that it is live.
      api: somebody(OWNER, { 'GET /api/v1/channels/barrage/broadcasts': [200, [{ ...PAST[1], id: live().live.broadcast_id, ended_how: 'stopped', end_reason: 'Please no advertising' }]] }),
      turns: () => [live(), offline],
      ready: see('.ended p'),
    }),
    'studio-camera': studio('/camera', { ready: see('.frame .button.primary') }),
    // As before a permission: there are devices, and what they are called is not told.
    'studio-camera-unasked': studio('/camera', {
      script: () => {
        const nameless = ['videoinput', 'audioinput'].map((kind) => ({ kind, deviceId: '', groupId: '', label: '' }));
        navigator.mediaDevices.enumerateDevices = () => Promise.resolve(nameless);
      },
      ready: see('.camera h2 + p.hint'),
    }),
    'studio-camera-ready': studio('/camera', {
      ready: async (page) => {
        await page.click('.frame .button.primary');
        await see('.camera[data-phase=ready]')(page);
        await see('[data-level]:not([data-level="0"])')(page);
      },
    }),
    'studio-camera-taken': studio('/camera', {
      ready: async (page) => {
        await page.click('.frame .button.primary');
        await page.click('.bar .button.primary');
        await see('[data-trouble=taken]')(page);
      },
    }),
    'studio-camera-denied': studio('/camera', {
      script: () => (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))),
      prepare: (page) => page.click('.frame .button.primary'),
      ready: see('[data-trouble=forbidden]'),
    }),
    'studio-camera-none': studio('/camera', {
      script: () => (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotFoundError'))),
      prepare: (page) => page.click('.frame .button.primary'),
      ready: see('[data-trouble=no_camera]'),
    }),
    'studio-camera-insecure': studio('/camera', {
      script: () => Object.defineProperty(globalThis, 'isSecureContext', { value: false }),
      ready: see('.stopped .button'),
    }),
    'studio-no-key': studio('', { api: somebody(OWNER, { 'GET /api/v1/channels/barrage/keys': [200, []] }), ready: see('dd .button') }),
    'studio-loading': studio('', { channel: () => 'hang', ready: see('[data-state=loading]') }),
    'studio-error': studio('', { channel: () => 500, ready: see('.notice') }),
    'studio-end': studio('', {
      channel: () => live(),
      prepare: (page) => page.click('.button.danger'),
      ready: see('dialog[open] form'),
    }),
    'studio-new': studio('', { api: somebody(VIEWER), ready: see('form') }),
    'studio-withdrawn': studio('', { api: somebody({ ...OWNER, role: 'viewer' }), ready: see('.notice') }),
    'studio-new-taken': studio('', {
      api: somebody(VIEWER, { 'POST /api/v1/channels': refusal(409, 'handle_taken') }),
      prepare: (page) => page.click('form [type=submit]'),
      ready: see('.problem'),
    }),
    'studio-closed': studio('', { api: somebody({ ...VIEWER, may_make_channel: false }), ready: see('.notice') }),
    'studio-channel': studio('/channel', { ready: see('form') }),
    'studio-channel-live': studio('/channel', { channel: () => live(), ready: see('.live') }),
    'studio-channel-refused': studio('/channel', {
      prepare: async (page) => {
        await page.fill('[name=tags]', 'a, b, c, d, e, f, g, h, i, j, k');
        await page.click('form [type=submit]');
      },
      ready: see('.problem'),
    }),
    'studio-keys': studio('/keys', { ready: see('[data-key]') }),
    'studio-keys-shown': studio('/keys', {
      api: somebody(OWNER, { [`GET /api/v1/channels/barrage/keys/${KEYS[0].id}`]: [200, { secret: SECRET, key: KEYS[0] }] }),
      prepare: (page) => page.locator('[data-key] .box button').first().click(),
      ready: (page) => page.getByText(SECRET).waitFor(),
    }),
    'studio-keys-made': studio('/keys', {
      api: somebody(OWNER, { 'POST /api/v1/channels/barrage/keys': [201, { secret: SECRET, key: KEYS[0] }] }),
      prepare: async (page) => {
        await page.fill('[name=name]', 'the laptop');
        await page.click('form [type=submit]');
      },
      ready: (page) => page.getByText(SECRET).waitFor(),
    }),
    'studio-keys-revoke': studio('/keys', {
      prepare: (page) => page.locator('[data-key] .button.danger').first().click(),
      ready: see('dialog[open] .button.danger'),
    }),
    'studio-keys-empty': studio('/keys', { api: somebody(OWNER, { 'GET /api/v1/channels/barrage/keys': [200, []] }), ready: see('.empty') }),
    'studio-keys-error': studio('/keys', { api: somebody(OWNER, { 'GET /api/v1/channels/barrage/keys': [500, null] }), ready: see('.empty') }),
    'studio-keys-loading': studio('/keys', { api: somebody(OWNER, { 'GET /api/v1/channels/barrage/keys': 'hang' }), ready: see('.skeleton') }),
    'studio-moderators': studio('/moderators', { ready: see('tbody tr') }),
    'studio-moderators-unknown': studio('/moderators', {
      api: somebody(OWNER, { 'PUT /api/v1/channels/barrage/moderators/nobody': refusal(404, 'user_not_found') }),
      prepare: async (page) => {
        await page.fill('[name=member]', 'nobody');
        await page.click('form [type=submit]');
      },
      ready: see('.problem'),
    }),
    'studio-moderators-empty': studio('/moderators', {
      api: somebody(OWNER, { 'GET /api/v1/channels/barrage/moderators': [200, []] }),
      ready: see('.empty'),
    }),
    'studio-emotes': studio('/emotes', { ready: see('[data-emote] img') }),
    'studio-emotes-chosen': studio('/emotes', {
      prepare: (page) => page.setInputFiles('[name=picture]', { name: 'Rainy Night.png', mimeType: 'image/png', buffer: PNG }),
      ready: async (page) => {
        await see('.zone img')(page);
        await page.waitForFunction(() => document.querySelector('[name=code]').value === 'rainy_night');
      },
    }),
    'studio-emotes-refused': studio('/emotes', {
      api: somebody(OWNER, { 'POST /api/v1/channels/barrage/emotes': refusal(422, 'invalid', { field: 'picture', reason: 'not_a_picture' }) }),
      prepare: async (page) => {
        await page.setInputFiles('[name=picture]', { name: 'hi.png', mimeType: 'image/png', buffer: Buffer.from('<svg/>') });
        await page.fill('[name=code]', 'hi');
        await page.click('form [type=submit]');
      },
      ready: see('.problem'),
    }),
    'studio-emotes-delete': studio('/emotes', {
      prepare: (page) => page.locator('[data-emote] .button.danger').first().click(),
      ready: see('dialog[open] .button.danger'),
    }),
    'studio-emotes-empty': studio('/emotes', {
      api: somebody(OWNER, { 'GET /api/v1/channels/barrage/emotes': [200, { emotes: [] }] }),
      ready: see('.empty'),
    }),
    'studio-webhooks': studio('/webhooks', { ready: see('[data-webhook=disabled]') }),
    'studio-webhooks-tested': studio('/webhooks', {
      api: somebody(OWNER, { [`POST /api/v1/channels/barrage/webhooks/${HOOKS[0].id}/test`]: [200, DELIVERIES[0]] }),
      prepare: (page) => page.locator('[data-webhook] .button').first().click(),
      ready: see('[data-webhook] [role=alert] p'),
    }),
    'studio-webhooks-made': studio('/webhooks', {
      api: somebody(OWNER, { 'POST /api/v1/channels/barrage/webhooks': [201, { secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwq1w2e3r4t5y6', webhook: HOOKS[0] }] }),
      prepare: async (page) => {
        await page.fill('[name=url]', 'https://example.org/barrage');
        await page.click('form [type=submit]');
      },
      ready: see('.made code'),
    }),
    'studio-webhooks-deliveries': studio('/webhooks', {
      api: somebody(OWNER, { [`GET /api/v1/channels/barrage/webhooks/${HOOKS[0].id}/deliveries`]: [200, DELIVERIES] }),
      prepare: (page) => page.locator('[data-webhook] .button.quiet').first().click(),
      ready: see('dialog [data-delivery]'),
    }),
    'studio-webhooks-empty': studio('/webhooks', {
      api: somebody(OWNER, { 'GET /api/v1/channels/barrage/webhooks': [200, []] }),
      ready: see('.empty'),
    }),
    'studio-broadcasts': studio('/broadcasts', { ready: see('tbody tr') }),
    'studio-broadcasts-empty': studio('/broadcasts', {
      api: somebody(OWNER, { 'GET /api/v1/channels/barrage/broadcasts': [200, []] }),
      ready: see('.empty'),
    }),

    'studio-earnings': studio('/earnings', { ready: see('tbody tr') }),
    'studio-earnings-lines': studio('/earnings', {
      prepare: (page) => page.locator('table').nth(1).scrollIntoViewIfNeeded(),
      ready: (page) => page.locator('table').nth(1).locator('tr').last().scrollIntoViewIfNeeded(),
    }),
    'studio-earnings-empty': studio('/earnings', {
      api: somebody(OWNER, {
        [EARNINGS_PATH]: [200, { ...EARNINGS, held: 0, available: 0, promo: 0, owed: 0, days: [], contract: { ...EARNINGS.contract, streamer_bp: 7_000, agency_bp: 0, agency: null } }],
        [`${EARNINGS_PATH}/lines`]: [200, { lines: [], next: null }],
      }),
      ready: see('.empty'),
    }),
    'studio-earnings-loading': studio('/earnings', { api: somebody(OWNER, { [EARNINGS_PATH]: 'hang' }), ready: see('.to-come') }),
    'studio-earnings-error': studio('/earnings', { api: somebody(OWNER, { [EARNINGS_PATH]: [500, null] }), ready: see('.empty') }),

    'admin-live': admin('', {
      streams: () => ({ streams: wall().streams.map((stream, i) => ({ ...stream, problems: i === 1 ? PROBLEMS.slice(0, 2) : [] })) }),
      ready: see('tbody tr'),
    }),
    'admin-live-empty': admin('', { ready: see('.empty') }),
    'admin-live-error': admin('', { streams: () => 500, ready: see('.empty') }),
    'admin-live-loading': admin('', { streams: () => 'hang', ready: see('.skeleton') }),
    'admin-live-end': admin('', {
      streams: wall,
      prepare: (page) => page.locator('tr .button.danger').first().click(),
      ready: see('dialog[open] form'),
    }),
    'admin-users': admin('/users', { ready: see('tbody tr') }),
    'admin-users-none': admin('/users', { api: somebody(OPERATOR, { 'GET /api/v1/admin/users': [200, []] }), ready: see('.empty') }),
    'admin-users-error': admin('/users', { ...failing('/api/v1/admin/users'), ready: see('.empty') }),
    'admin-users-loading': admin('/users', { ...hanging('/api/v1/admin/users'), ready: see('.skeleton') }),
    'admin-users-make': admin('/users', {
      prepare: (page) => page.locator('.above > .button').click(),
      ready: see('dialog[open] form'),
    }),
    'admin-user': admin('/users', {
      api: somebody(OPERATOR, {
        'POST /api/v1/admin/users/wanfeng/recovery': [201, { link: 'https://live.example/recover#br_7ceppbdbaezzwuwz4c8ffe94s2eue5tr', expires_at: before(-2 * DAY) }],
      }),
      prepare: async (page) => {
        await page.click('tr[data-user=wanfeng] button');
        await page.click('dialog section:nth-child(2) [type=submit]');
      },
      ready: see('dialog code'),
    }),
    'admin-user-closed': admin('/users', {
      prepare: (page) => page.click('tr[data-user=somebody_with_a_long_name] button'),
      ready: see('dialog[open] section'),
    }),
    'admin-channels': admin('/channels', { api: somebody(OPERATOR, listed), ready: see('tbody tr') }),
    'admin-channels-empty': admin('/channels', { api: somebody(OPERATOR, { 'GET /api/v1/admin/channels': [200, []] }), ready: see('.empty') }),
    'admin-gifts': admin('/gifts', { api: somebody(OPERATOR, { 'GET /api/v1/admin/gifts': [200, GIFTS] }), ready: see('tbody tr') }),
    'admin-gifts-empty': admin('/gifts', { api: somebody(OPERATOR, { 'GET /api/v1/admin/gifts': [200, []] }), ready: see('.empty') }),
    'admin-gifts-error': admin('/gifts', { ...failing('/api/v1/admin/gifts'), ready: see('.empty') }),
    'admin-gifts-loading': admin('/gifts', { ...hanging('/api/v1/admin/gifts'), ready: see('.skeleton') }),
    'admin-gift-price': admin('/gifts', {
      api: somebody(OPERATOR, { 'GET /api/v1/admin/gifts': [200, GIFTS] }),
      ready: async (page) => {
        await page.locator('tr[data-gift=rose] .actions button').click();
        await page.locator('dialog input[name=price]').fill('1000');
        await page.locator('dialog button[type=submit]').click();
        await page.waitForSelector('dialog .price[role=alert]');
      },
    }),
    'admin-money': money({ ready: see('[data-balance]') }),
    'admin-money-none': money({ handle: 'nobody', ready: see('.problem') }),
    'admin-money-frozen': money({
      api: { [MONEY_PATH]: [200, { ...MONEY, wallet: { ...MONEY.wallet, frozen: true }, top_ups: [], lines: [] }], [NOTES_PATH]: [200, { notes: [], next: null }] },
      ready: see('.frozen'),
    }),
    'admin-money-down': money({
      api: { [MONEY_PATH]: refusal(503, 'gifts_unavailable'), [NOTES_PATH]: [500, null] },
      ready: see('form [role=alert] p'),
    }),
    'admin-money-lines': money({ ready: (page) => page.locator('tr[data-line]').last().scrollIntoViewIfNeeded({ timeout: 20_000 }) }),
    'admin-money-notes': money({ ready: (page) => page.locator('tr[data-note]').last().scrollIntoViewIfNeeded({ timeout: 20_000 }) }),
    'admin-money-reverse': money({
      api: { 'POST /api/v1/admin/money/reversals': refusal(409, 'not_reversible') },
      ready: async (page) => {
        await page.click('tr[data-line=gift] .actions button');
        await page.fill('dialog [name=reason]', 'Given by mistake');
        await page.click('dialog [type=submit]');
        await page.waitForSelector('dialog [role=alert] p');
      },
    }),
    'admin-money-refund': money({
      ready: async (page) => {
        await page.click('tr[data-state=paid] .actions button');
        await page.click('dialog [type=submit]');
        await page.waitForSelector('dialog .problem');
      },
    }),
    'admin-contracts': contracts({ ready: see('.bar .agency') }),
    'admin-contracts-none': contracts({ handle: 'nobody', api: { [AGENCIES_PATH]: [200, []] }, ready: see('.problem') }),
    'admin-contracts-error': contracts({ api: { [AGENCIES_PATH]: [500, null], [CONTRACT_PATH]: [500, null] }, ready: see('form [role=alert] p') }),
    'admin-contract': contracts({
      ready: async (page) => {
        await page.locator('section', { has: page.locator('.bar') }).locator('button').click();
        await page.fill('dialog [name=streamer_bp]', '95.5');
        await page.fill('dialog [name=reason]', 'Agreed on');
        await page.click('dialog [type=submit]');
        await page.waitForSelector('dialog .problem');
      },
    }),
    'admin-config': admin('/config', { ready: see('dl') }),
    'admin-config-none': admin('/config', {
      prepare: async (page) => {
        await page.waitForSelector('dl');
        await page.fill('[type=search]', 'nothing like it');
      },
      ready: see('.empty'),
    }),
    'admin-config-error': admin('/config', { ...failing('/api/v1/admin/config'), ready: see('.empty') }),
    'admin-health': admin('/health', { ready: see('tbody tr') }),
    'admin-health-failing': admin('/health', { api: somebody(OPERATOR, { 'GET /api/v1/admin/health': [200, FAILING] }), ready: see('tr .bad') }),
    'admin-health-error': admin('/health', { ...failing('/api/v1/admin/health'), ready: see('.empty') }),
  };
}
