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
