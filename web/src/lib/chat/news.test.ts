import { describe, expect, it } from 'vitest';
import { newsText } from './news';

const number = (value: number): string => `${value}`;
const ann = { handle: 'ann', name: 'Ann' };

describe('news', () => {
  it('names one, and counts the others', () => {
    expect(newsText('followed', { count: 1, named: [ann] }, number)).toEqual({ key: 'chat.news.followed.one', values: { name: 'Ann' } });
    expect(newsText('joined', { count: 4, named: [{ handle: 'bob' }, ann] }, number)).toEqual({
      key: 'chat.news.joined.more',
      values: { name: 'bob', count: '3' },
    });
  });

  it('counts those who are nobody in particular', () => {
    expect(newsText('shared', { count: 2, named: [] }, number)).toEqual({ key: 'chat.news.shared.many', values: { count: '2' } });
  });
});
