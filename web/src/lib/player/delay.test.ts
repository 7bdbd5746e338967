import { describe, expect, it } from 'vitest';
import { parseDelay } from './delay';

describe('delay', () => {
  it('is the standard one unless low was chosen', () => {
    expect(parseDelay('low')).toBe('low');
    expect(parseDelay('standard')).toBe('standard');
    expect(parseDelay(null)).toBe('standard');
    expect(parseDelay('none at all')).toBe('standard');
  });
});
