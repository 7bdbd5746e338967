import { describe, expect, it } from 'vitest';
import { announced } from './announce';

describe('announced', () => {
  it('are the lines of a quiet room', () => {
    expect(announced([])).toEqual({ lines: [], more: 0 });
    expect(announced([false, true, false])).toEqual({ lines: [0, 1, 2], more: 0 });
  });

  it('are the calls and the number in a loud one', () => {
    const calls = Array.from({ length: 600 }, (_, at) => at === 7);
    expect(announced(calls)).toEqual({ lines: [7], more: 599 });
    expect(announced(calls.map(() => true))).toEqual({ lines: [597, 598, 599], more: 597 });
  });
});
