import { describe, expect, it } from 'vitest';
import { parseDelay } from './delay';

describe('delay', () => {
  it('is the least that goes unless another was chosen', () => {
    expect(parseDelay('low')).toBe('low');
    expect(parseDelay('standard')).toBe('standard');
    expect(parseDelay(null)).toBe('auto');
    expect(parseDelay('none at all')).toBe('auto');
  });
});
