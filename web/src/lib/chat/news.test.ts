import { describe, expect, it } from 'vitest';
import { newsText } from './news';

const number = (value: number): string => `${value}`;
const ann = { handle: 'ann', name: 'Ann' };

describe('news', () => {
  it('names one, and counts the others', () => {
    expect(newsText({ of: 'followed', gathered: { count: 1, named: [ann] } }, number)).toEqual({ key: 'chat.news.followed.one', values: { name: 'Ann' } });
    expect(newsText({ of: 'joined', gathered: { count: 4, named: [{ handle: 'bob' }, ann] } }, number)).toEqual({
      key: 'chat.news.joined.more',
      values: { name: 'bob', count: '3' },
    });
  });

  it('says who deleted what, and whose it was', () => {
    const removed = { of: 7, by: ann, whose: { handle: 'bob' }, text: 'spam' };
    const text = newsText({ of: 'removed', removed }, number);
    expect(text).toEqual({ key: 'chat.news.removed', values: { name: 'Ann', whose: 'bob', text: 'spam' } });
    const own = newsText({ of: 'removed', removed: { ...removed, whose: ann } }, number);
    expect(own).toEqual({ key: 'chat.news.removed.own', values: { name: 'Ann', text: 'spam' } });
  });

  it('counts those who are nobody in particular', () => {
    expect(newsText({ of: 'shared', gathered: { count: 2, named: [] } }, number)).toEqual({ key: 'chat.news.shared.many', values: { count: '2' } });
  });
});
