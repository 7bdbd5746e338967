import { describe, expect, it } from 'vitest';
import { newLadder, onFault, onShown, PROVEN_MS } from './ladder';

describe('the ladder', () => {
  it('leads from WebSocket over HTTP to the standard delay, and says why', () => {
    const [http, first] = onFault(newLadder(), 0, 'refused');
    expect(first).toEqual({ to: 'http-flv', why: 'refused' });
    const [standard, second] = onFault(onShown(http, 1_000), 5_000, 'stalled');
    expect(second).toEqual({ to: 'standard', why: 'stalled' });
    expect(onFault(standard, 6_000, 'lost')).toEqual([standard, null]);
  });

  it('makes a connection that held for long anew, but not again and again', () => {
    const [again, told] = onFault(onShown(newLadder(), 1_000), 1_000 + PROVEN_MS, 'lost');
    expect([again.rung, told]).toEqual(['ws-flv', null]);
    expect(onFault(again, 1_500 + PROVEN_MS, 'refused')[1]).toEqual({ to: 'http-flv', why: 'refused' });
    expect(onFault(onShown(again, 1_500 + PROVEN_MS), 9_000 + PROVEN_MS, 'lost')[1]).toEqual({ to: 'http-flv', why: 'lost' });
  });

  it('gives media that played one more chance', () => {
    const [again, told] = onFault(onShown(newLadder(), 0), 2_000, 'media');
    expect([again.rung, told]).toEqual(['ws-flv', null]);
    expect(onFault(onShown(again, 2_500), 4_000, 'media')[1]).toEqual({ to: 'http-flv', why: 'media' });
    expect(onFault(newLadder(), 0, 'media')[1]).toEqual({ to: 'http-flv', why: 'media' });
  });

  it('counts from the first picture of a connection', () => {
    const shown = onShown(onShown(newLadder(), 0), PROVEN_MS);
    expect(onFault(shown, PROVEN_MS, 'stalled')[1]).toBeNull();
  });
});
