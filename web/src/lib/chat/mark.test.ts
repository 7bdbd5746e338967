import { expect, it } from 'vitest';
import { markOf } from './mark';

const me = { id: '1', handle: 'mei' };
const ann = { id: '2', handle: 'ann' };

it.each([
  [{ by: ann }, null],
  [{ by: me, mentions: ['mei'] }, 'own'],
  [{ by: { id: '1', handle: 'mei_before' } }, 'own'],
  [{ by: ann, mentions: ['bob', 'mei'] }, 'called'],
  [{ by: ann, reply: { p: 1, handle: 'mei', text: 'x' } }, 'called'],
  [{ by: ann, reply: { p: 1, handle: 'bob', text: '@mei' } }, null],
])('%j is %s', (danmaku, mark) => {
  expect(markOf(danmaku, me)).toBe(mark);
  expect(markOf(danmaku, null)).toBeNull();
});
