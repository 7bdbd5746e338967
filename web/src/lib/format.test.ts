import { describe, expect, it } from 'vitest';
import { ago, compactCount, dateTime, delay, duration, initial, quality } from './format';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('compactCount', () => {
  it.each([
    ['en', 7, '7'],
    ['en', 12_000, '12K'],
    ['en', 1_250_000, '1.3M'],
    ['zh-CN', 980, '980'],
    ['zh-CN', 12_000, '1.2万'],
    ['zh-CN', 130_000_000, '1.3亿'],
  ] as const)('in %s writes %d as %s', (language, count, text) => {
    expect(compactCount(language, count)).toBe(text);
  });
});

describe('duration', () => {
  it.each([
    [0, 'under 1 min', '不到1分钟'],
    [-5, 'under 1 min', '不到1分钟'],
    [MINUTE, '1 min', '1分钟'],
    [59 * MINUTE + 59_999, '59 min', '59分钟'],
    [HOUR, '1 h', '1小时'],
    [HOUR + 5 * MINUTE, '1 h 5 min', '1小时5分钟'],
    [DAY, '1 d', '1天'],
    [2 * DAY + 3 * HOUR, '2 d 3 h', '2天3小时'],
  ])('%d ms', (ms, en, zh) => {
    expect(duration('en', ms)).toBe(en);
    expect(duration('zh-CN', ms)).toBe(zh);
  });
});

describe('delay', () => {
  it.each([
    [0, '0.0 s', '0.0秒'],
    [840, '0.8 s', '0.8秒'],
    [9_940, '9.9 s', '9.9秒'],
    [9_960, '10 s', '10秒'],
    [42_400, '42 s', '42秒'],
    [130_000, '2 min', '2分钟'],
    [-3, '0.0 s', '0.0秒'],
  ])('%d ms', (ms, en, zh) => {
    expect(delay('en', ms)).toBe(en);
    expect(delay('zh-CN', ms)).toBe(zh);
  });
});

describe('ago', () => {
  const now = Date.UTC(2026, 8, 21, 12);
  it.each([
    [20_000, 'just now', '刚刚'],
    [5 * MINUTE, '5 minutes ago', '5分钟前'],
    [3 * HOUR, '3 hours ago', '3小时前'],
    [DAY, 'yesterday', '昨天'],
    [40 * DAY, 'last month', '上个月'],
    [-HOUR, 'just now', '刚刚'],
  ])('%d ms', (elapsed, en, zh) => {
    expect(ago('en', now - elapsed, now)).toBe(en);
    expect(ago('zh-CN', now - elapsed, now)).toBe(zh);
  });
});

describe('dateTime', () => {
  it('writes the date in the asked zone', () => {
    const then = Date.UTC(2026, 8, 21, 23, 30);
    expect(dateTime('en', then, 'UTC')).toMatch(/Sep 21, 2026.*11:30/);
    expect(dateTime('zh-CN', then, 'Asia/Shanghai')).toMatch(/2026年9月22日.*07:30/);
  });
});

describe('quality', () => {
  it('is named by the shorter side and the rounded frame rate', () => {
    expect(quality({ width: 1280, height: 720, fps: 59.94 })).toBe('720p60');
    expect(quality({ width: 720, height: 1280, fps: 30 })).toBe('720p30');
    expect(quality({ width: 1920, height: 1080, fps: null })).toBe('1080p');
    expect(quality({ width: 0, height: 0, fps: 30 })).toBeNull();
  });
});

describe('initial', () => {
  it('is the first character of any script, whole', () => {
    expect(initial('barrage')).toBe('B');
    expect(initial(' 晚风')).toBe('晚');
    expect(initial('🎸 guitar')).toBe('🎸');
    expect(initial('')).toBe('·');
  });
});
