import { expect, test } from 'vitest';
import { checkReason, noteKey, whysOf } from './money';

test('a reason has three characters, whatever surrounds it and whichever they are', () => {
  expect(checkReason('  ab ')).toEqual({ key: 'money.reason_short', params: { min: '3' } });
  expect(checkReason('送错了')).toBeNull();
});

test('a bank takes gifts back, and payments by itself', () => {
  expect(whysOf('reverse')).toContain('chargeback');
  expect(whysOf('refund')).not.toContain('chargeback');
  expect(whysOf('freeze')).toEqual([]);
});

test('a note is called what it is, and what a later server notes stands as it is', () => {
  expect(noteKey({ what: 'reversal' })).toBe('money.note.reversal');
  expect(noteKey({ what: 'payout' })).toBeNull();
});
