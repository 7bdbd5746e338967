import { describe, expect, it } from 'vitest';
import { DEFAULTS, parseSettings } from './settings';

describe('parseSettings', () => {
  it('reads what was kept', () => {
    const kept = { density: 'few', area: 'half', size: 'huge', speed: 'slow', motion: 'stand', opacity: 50 };
    expect(parseSettings(JSON.stringify(kept))).toEqual(kept);
  });

  it.each([null, '', 'on', '[]', 'null', '7', '{"density":"none","opacity":0}', '{"opacity":"100%"}'])('takes %s for the beginning', (text) => {
    expect(parseSettings(text)).toEqual(DEFAULTS);
  });

  it('keeps the rest where one cannot be read', () => {
    expect(parseSettings('{"speed":"fast","area":"none"}')).toEqual({ ...DEFAULTS, speed: 'fast' });
  });
});
