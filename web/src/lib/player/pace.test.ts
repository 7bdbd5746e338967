import { describe, expect, it } from 'vitest';
import { keepPace, newPace, onStall, RATE_MAX, type Pace, type Reading } from './pace';

const reading = (changes: Partial<Reading> = {}): Reading => ({
  latency_s: 0.8,
  target_s: 0.8,
  buffered_s: 0.6,
  following: true,
  ...changes,
});
const settled: Pace = { rate: 1, caution_s: 0, settle: false };

describe('keepPace', () => {
  it('leaves playback alone at the target', () => {
    expect(keepPace(settled, 0.25, reading())).toEqual([settled, { type: 'none' }]);
  });

  it('is faster when late until the target is reached, not only until it is near', () => {
    let [pace] = keepPace(settled, 0.25, reading({ latency_s: 1.1 }));
    expect(pace.rate).toBe(1.05);
    [pace] = keepPace(pace, 0.25, reading({ latency_s: 0.9 }));
    expect(pace.rate).toBe(1.05);
    [pace] = keepPace(pace, 0.25, reading({ latency_s: 0.83 }));
    expect(pace.rate).toBe(1);
  });

  it('is fastest when more than a second late', () => {
    expect(keepPace(settled, 0.25, reading({ latency_s: 2.5 }))[0].rate).toBe(RATE_MAX);
  });

  it('does not run faster into an empty buffer', () => {
    expect(keepPace(settled, 0.25, reading({ latency_s: 1.5, buffered_s: 0.1 }))[0].rate).toBe(1);
  });

  it('slows down when too close to live', () => {
    expect(keepPace(settled, 0.25, reading({ latency_s: 0.5 }))[0].rate).toBeLessThan(1);
  });

  it('jumps when playback begins late with the media at hand, once', () => {
    const [pace, action] = keepPace(newPace(), 0.25, reading({ latency_s: 2.4, buffered_s: 2 }));
    expect(action).toEqual({ type: 'jump' });
    expect(keepPace(pace, 0.25, reading({ latency_s: 2.4, buffered_s: 2 }))[1]).toEqual({ type: 'none' });
  });

  it('waits with that jump for the media', () => {
    const [pace, action] = keepPace(newPace(), 0.25, reading({ latency_s: 2.4, buffered_s: 0.5 }));
    expect(action).toEqual({ type: 'none' });
    expect(pace.settle).toBe(true);
  });

  it('jumps at any time when far behind', () => {
    expect(keepPace(settled, 0.25, reading({ latency_s: 6 }))[1]).toEqual({ type: 'jump' });
  });

  it('leaves a viewer alone who chose to be behind', () => {
    const [pace, action] = keepPace(newPace(), 0.25, reading({ latency_s: 30, following: false }));
    expect([pace.rate, action.type]).toEqual([1, 'none']);
  });

  it('keeps further off after stalls and comes back slowly', () => {
    let pace = onStall(settled);
    expect(keepPace(pace, 0.25, reading({ latency_s: 1.1 }))[0].rate).toBe(1);
    for (let i = 0; i < 20; i += 1) pace = onStall(pace);
    expect(pace.caution_s).toBe(1.5);
    [pace] = keepPace(pace, 60, reading());
    expect(pace.caution_s).toBeCloseTo(0.9);
  });
});
