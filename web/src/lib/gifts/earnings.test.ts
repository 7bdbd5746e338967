import { expect, test } from 'vitest';
import type { EarningsDay } from '../api/money';
import { kindOfEarning, percent, sharesOf, totalOf } from './earnings';

test('a line is called what it is, and what a later server calls otherwise is an entry', () => {
  expect(kindOfEarning({ kind: 'release' })).toBe('earnings.kind.release');
  expect(kindOfEarning({ kind: 'payout' })).toBe('earnings.kind.other');
});

test('shares are told of those who have one', () => {
  const contract = { version: 1, streamer_bp: 7_000, agency_bp: 0, platform_bp: 3_000, agency: null, own: false };
  expect(sharesOf(contract).map(({ who }) => who)).toEqual(['streamer', 'platform']);
  expect(sharesOf({ ...contract, streamer_bp: 6_000, agency_bp: 1_000 }).map(({ who }) => who)).toEqual(['streamer', 'agency', 'platform']);
});

test('a share is told to the basis point', () => {
  expect(percent('en', 7_000)).toBe('70%');
  expect(percent('en', 3_333)).toBe('33.33%');
});

test('days add up', () => {
  const day = (gifts: number, earned: number, taken_back: number): EarningsDay => ({
    day: '2026-11-23', gifts, earned, taken_back, releases_on: '2026-12-01', released: false,
  });
  expect(totalOf([day(3, 21, 7), day(1, 70, 0)])).toEqual({ gifts: 4, earned: 91, taken_back: 7 });
  expect(totalOf([])).toEqual({ gifts: 0, earned: 0, taken_back: 0 });
});
