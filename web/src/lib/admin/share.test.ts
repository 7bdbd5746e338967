import { expect, test } from 'vitest';
import { basisPoints, checkShare, perCent, restOf, WHOLE_BP } from './share';

test('a share is read to the basis point', () => {
  expect(['70', '62.5', '62,5', ' 7.25 ', '0', '100', '100.00', '0.01'].map(basisPoints)).toEqual([7_000, 6_250, 6_250, 725, 0, 10_000, 10_000, 1]);
});

test('what is no share is not guessed at', () => {
  for (const text of ['', '100.01', '101', '-1', '1.234', '7e1', '70 %', '.5', '5.', '1,000']) {
    expect(basisPoints(text)).toBeNull();
    expect(checkShare(text)).toEqual({ key: 'contracts.share_wrong' });
  }
  expect(checkShare('33.33')).toBeNull();
});

test('every share is typed as it is read', () => {
  for (let points = 0; points <= WHOLE_BP; points += 1) expect(basisPoints(perCent(points))).toBe(points);
});

test('the three are all of it', () => {
  expect(restOf('33.33', '33.33')).toBe(3_334);
  expect(restOf('60', '40')).toBe(0);
  expect(restOf('60', '40.01')).toBe(-1);
  expect(restOf('60', 'x')).toBeNull();
});
