import { describe, expect, it } from 'vitest';
import { Blocked, folded, NO_BLOCKS, parseBlocks, PEOPLE_MAX, withoutPerson, withoutWord, withPerson, withWord, wordProblem, WORDS_MAX } from './blocks';

const said = (text: string, id = 'ann') => ({ by: { id }, text });
const blocking = (...words: string[]) => new Blocked(words.reduce(withWord, NO_BLOCKS));

describe('blocked words', () => {
  it.each([
    ['spoiler', 'A SPOILER follows'],
    ['spoiler', 'spo\u200Bi\u2060l\u00ADer'],
    ['spoiler', 'ｓｐｏｉｌｅｒ'],
    ['ＳＰＡＭ', 'spam'],
    ['strasse', 'Straße'],
    ['ΟΔΟΣ', 'οδος'],
    ['广告', '小广\u200D告'],
    ['é', 'e\u0301'],
    ['ﬁn', 'FIN'],
  ])('%s is found in %s', (word, text) => {
    expect(blocking(word).has(said(text))).toBe(true);
  });

  it('leave the rest alone', () => {
    expect(blocking('spoiler').has(said('spoil'))).toBe(false);
    expect(blocking().has(said(''))).toBe(false);
  });

  it('are refused with a reason', () => {
    const blocks = withWord(NO_BLOCKS, ' Spoiler ');
    expect(blocks.words).toEqual(['Spoiler']);
    expect(wordProblem(blocks, 'ＳＰＯＩＬＥＲ')).toBe('there');
    expect(wordProblem(blocks, ' \u200B ')).toBe('empty');
    expect(wordProblem(blocks, 'x'.repeat(51))).toBe('long');
    const full = Array.from({ length: WORDS_MAX }, (_, n) => `word ${n}`).reduce(withWord, NO_BLOCKS);
    expect(wordProblem(full, 'one more')).toBe('full');
    expect(withoutWord(blocks, 'Spoiler')).toEqual(NO_BLOCKS);
  });
});

describe('blocked people', () => {
  it('are known by who they are, whatever they are called', () => {
    const blocks = withPerson(withPerson(NO_BLOCKS, { id: '1', handle: 'ann' }), { id: '1', handle: 'anna' });
    expect(blocks.people).toEqual([{ id: '1', handle: 'anna' }]);
    expect(new Blocked(blocks).has(said('hi', '1'))).toBe(true);
    expect(new Blocked(blocks).has(said('hi', '2'))).toBe(false);
    expect(withoutPerson(blocks, '1')).toEqual(NO_BLOCKS);
  });

  it('have a bound', () => {
    const many = Array.from({ length: PEOPLE_MAX + 5 }, (_, n) => ({ id: String(n), handle: 'ann' })).reduce(withPerson, NO_BLOCKS);
    expect(many.people.length).toBe(PEOPLE_MAX);
  });
});

describe('parseBlocks', () => {
  it('reads what was kept, and leaves out what cannot be read', () => {
    const blocks = withWord(withPerson(NO_BLOCKS, { id: '1', handle: 'ann' }), 'spoiler');
    expect(parseBlocks(JSON.stringify(blocks))).toEqual(blocks);
    expect(parseBlocks('{"people":[{"id":1},null,{"id":"2","handle":"bob","x":1}],"words":["",7,"a","A"]}')).toEqual({
      people: [{ id: '2', handle: 'bob' }],
      words: ['a'],
    });
    for (const text of [null, '', 'null', '[]', '7']) expect(parseBlocks(text)).toEqual(NO_BLOCKS);
  });
});

describe('folded', () => {
  it('stays the same when it is folded again', () => {
    for (const text of ['İstanbul', 'ΣΑΣ', 'ẞ', 'ǅ', '㍿', '👨‍👩‍👧']) expect(folded(folded(text))).toBe(folded(text));
  });
});
