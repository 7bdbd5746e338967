import { describe, expect, it } from 'vitest';
import { checkTags, parseTags } from './tags';

describe('tags', () => {
  it('are parted by commas of either kind, without their # and without doubles', () => {
    expect(parseTags('rust, #弹幕，围棋、rust, ,')).toEqual(['rust', '弹幕', '围棋']);
    expect(parseTags('  ')).toEqual([]);
    expect(parseTags('late night')).toEqual(['late night']);
  });

  it('are few and short', () => {
    expect(checkTags('a, b')).toBeNull();
    expect(checkTags(Array.from({ length: 11 }, (_, i) => `tag${i}`).join(','))?.key).toBe('channel.tags_many');
    expect(checkTags('围'.repeat(30))).toBeNull();
    expect(checkTags(`a, ${'b'.repeat(31)}`)).toEqual({ key: 'channel.tag_long', params: { tag: 'b'.repeat(31), max: '30' } });
  });
});
