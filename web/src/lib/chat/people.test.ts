import { describe, expect, it } from 'vitest';
import { callAt, completed, People, type Call } from './people';

const nobody = () => false;

describe('people', () => {
  it('are found by the beginning of handle or name, the latest first', () => {
    const people = new People();
    for (const [handle, name] of [['mei', '梅子'], ['max', 'Max'], ['bob', 'MÉlanie'], ['mei', '梅子']] as const) people.note({ id: handle, handle, name });
    const found = (query: string) => people.find(query, 5, nobody).map(({ handle }) => handle);
    expect(found('')).toEqual(['mei', 'bob', 'max']);
    expect(found('M')).toEqual(['mei', 'bob', 'max']);
    expect(found('梅')).toEqual(['mei']);
    expect(found('mé')).toEqual(['bob']);
    expect(found('x')).toEqual([]);
    expect(people.find('', 1, ({ handle }) => handle === 'mei').map(({ handle }) => handle)).toEqual(['bob']);
  });

  it('are forgotten, those first who were heard longest ago', () => {
    const people = new People();
    for (let n = 0; n < 400; n += 1) people.note({ id: String(n), handle: `p${n}` });
    expect(people.find('', 1_000, nobody).length).toBe(300);
    expect(people.find('p99', 5, nobody)).toEqual([]);
  });
});

describe('a name that is being written', () => {
  it.each([
    ['@', 1, { from: 0, query: '' }],
    ['hi @me', 6, { from: 3, query: 'me' }],
    ['hi @me', 5, { from: 3, query: 'm' }],
    ['（@梅', 3, { from: 1, query: '梅' }],
    ['me@example', 10, null],
    ['@me ', 4, null],
    ['hi', 2, null],
  ])('in %s at %d', (text, caret, call) => {
    expect(callAt(text, caret)).toEqual(call);
  });

  it('is completed in its place', () => {
    const call = callAt('hi @me, you', 6) as Call;
    expect(completed('hi @me, you', call, 'mei')).toEqual({ text: 'hi @mei , you', caret: 8 });
    expect(completed('@m there', callAt('@m there', 2) as Call, 'mei')).toEqual({ text: '@mei there', caret: 5 });
  });
});
