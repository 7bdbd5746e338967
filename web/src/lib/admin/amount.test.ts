import { describe, expect, it } from 'vitest';
import { checkWhole, whole } from './amount';

describe('amounts that operators type', () => {
  it('are plain digits', () => {
    expect(whole(' 100 ')).toBe(100);
    for (const text of ['', '1e3', '1.5', '-1', '1,000', '0x10', '1234567890']) expect(whole(text)).toBeNull();
  });

  it('are within their bounds', () => {
    expect(checkWhole('1', 1)).toBeNull();
    expect(checkWhole('1000000', 1)).toBeNull();
    for (const text of ['0', '1000001', 'ten']) {
      expect(checkWhole(text, 1)).toEqual({ key: 'catalogue.whole', params: { min: '1', max: '1000000' } });
    }
  });
});
