// What a full room says, for the states and the measurements here: short and long, in both scripts, the same each time.

const WORDS = [
  '哈哈哈哈哈', '来了来了', '666', '前方高能', '这个转场太丝滑了', '主播晚上好', '泪目', '弹幕护体', '第一次看，求科普', '声音有点小',
  'that was smooth', 'lol', 'first time here, hello from Lisbon', 'what song is this?', 'GG', 'encore', '+1', 'the colours tonight are unreal',
  '刚下班，终于赶上了', '求歌名', '这段循环播放一整天都不会腻，谁来剪一个完整版放到录像里啊', 'is this the part where the rain starts or did I miss it completely while making tea',
];
const COLOURS = [0xffffff, 0xffffff, 0xffffff, 0xffe14d, 0x7db4ff, 0x6fdc7c, 0xff8fc4, 0xff6b5e];
const HANDLES = ['wanfeng', 'rustlings', 'kitchen', 'go_board', 'nightowl', 'lisboa', 'xiaoyu', 'tea_leaf', 'hikaru', 'mariposa', 'dongdong', 'ferris'];

/** The same numbers each time, from 0 to 1. */
export function numbers(seed = 7) {
  return () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** One thing after the other, as items of a room without their places. */
export function* crowd(seed = 7) {
  const random = numbers(seed);
  const one = (list) => list[Math.floor(random() * list.length)];
  for (;;) {
    const handle = one(HANDLES);
    const way = random();
    yield {
      by: { id: `0199c0de-0000-7000-8000-0000000004${String(HANDLES.indexOf(handle)).padStart(2, '0')}`, handle, ...(handle === 'wanfeng' ? { name: '晚风' } : {}) },
      text: one(WORDS),
      mode: way < 0.9 ? 'scroll' : way < 0.94 ? 'top' : way < 0.97 ? 'bottom' : 'reverse',
      size: random() < 0.9 ? 'normal' : one(['small', 'large']),
      colour: one(COLOURS),
    };
  }
}

/** Settings with which nobody is too fast. */
export const FREE = { 'https.listen': '', 'chat.user_burst': '100000', 'chat.connection_burst': '100000', 'accounts.attempts_per_minute_per_address': '1000' };
export const PASSWORD = 'a lamp under seven rivers';
const BATCH_MS = 100;

/** They all come into the server's room and talk; `pace` says how much a second. */
export async function fillRoom(server, browser) {
  const tokens = {};
  for (const handle of HANDLES) {
    const context = await browser.newContext();
    const options = { headers: { origin: server.url } };
    const post = (path, data) => context.request.post(server.url + path, { ...options, data });
    await post('/api/v1/account', { handle, password: PASSWORD });
    if (handle === 'wanfeng') await context.request.patch(`${server.url}/api/v1/account`, { ...options, data: { name: '晚风' } });
    const answer = await post(`/api/v1/rooms/${server.handle}/token`);
    tokens[handle] = (await answer.json()).token;
    await context.close();
  }
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${server.url}/robots.txt`);
  await page.evaluate(enter, { room: server.handle, tokens });
  const said = crowd();
  let per_second = 0;
  let owed = 0;
  let busy = false;
  const timer = setInterval(async () => {
    owed += (per_second * BATCH_MS) / 1_000;
    if (busy || owed < 1) return;
    busy = true;
    const batch = Array.from({ length: Math.floor(owed) }, () => said.next().value);
    owed -= batch.length;
    await page.evaluate((list) => globalThis.say(list), batch).catch(() => undefined);
    busy = false;
  }, BATCH_MS);
  return {
    pace: (wanted) => (per_second = wanted),
    async leave() {
      clearInterval(timer);
      await context.close();
    },
  };
}

/** In a page: a connection for each. */
async function enter({ room, tokens }) {
  const sockets = {};
  for (const [handle, token] of Object.entries(tokens)) {
    const socket = new WebSocket(`ws://${location.host}/ws?room=${room}`, 'barrage.v1.json');
    await new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify({ t: 'auth', token }));
      socket.onmessage = ({ data }) => data.includes('"t":"you"') && resolve();
      socket.onerror = () => reject(new Error('no connection to the room'));
    });
    socket.onmessage = null;
    sockets[handle] = socket;
  }
  let id = 0;
  globalThis.say = (list) => {
    for (const { by, text, mode, size, colour } of list) {
      sockets[by.handle].send(JSON.stringify({ t: 'send', id: ++id, text, mode, size, colour }));
    }
  };
}
