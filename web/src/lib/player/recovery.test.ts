import { describe, expect, it } from 'vitest';
import { newRecovery, onFault, TELL_AFTER_MS } from './recovery';

describe('onFault', () => {
  const random = 0.5;

  it('loads on after a network error, and builds anew when that does not help', () => {
    let recovery = newRecovery();
    const remedies: string[] = [];
    const delays: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      const next = onFault(recovery, i * 1_000, 'network', random);
      recovery = next.recovery;
      remedies.push(next.remedy);
      delays.push(next.delay_ms);
    }
    expect(remedies.slice(0, 4)).toEqual(['start-load', 'start-load', 'start-load', 'rebuild']);
    expect(delays).toEqual([...delays].sort((a, b) => a - b));
    expect(Math.max(...delays)).toBe(5_000);
  });

  it('mends a media error at once, then builds anew', () => {
    const first = onFault(newRecovery(), 0, 'media', random);
    expect([first.remedy, first.delay_ms]).toEqual(['recover-media', 0]);
    expect(onFault(first.recovery, 100, 'media', random).remedy).toBe('rebuild');
  });

  it('builds anew when nothing moves or the manifest is missing', () => {
    expect(onFault(newRecovery(), 0, 'stuck', random).remedy).toBe('rebuild');
    expect(onFault(newRecovery(), 0, 'manifest', random).remedy).toBe('rebuild');
  });

  it('tells the viewer only after a while', () => {
    const first = onFault(newRecovery(), 1_000, 'network', random);
    expect(first.tell).toBeNull();
    expect(onFault(first.recovery, 1_000 + TELL_AFTER_MS, 'network', random).tell).toBe('network');
    expect(onFault(first.recovery, 1_000 + TELL_AFTER_MS, 'media', random).tell).toBe('decode');
  });

  it('asks for the first segment of a broadcast again soon, however often', () => {
    let recovery = newRecovery();
    for (let i = 0; i < 5; i += 1) {
      const next = onFault(recovery, i * 400, 'empty', random);
      expect([next.remedy, next.delay_ms, next.tell]).toEqual(['rebuild', 400, null]);
      recovery = next.recovery;
    }
  });
});
