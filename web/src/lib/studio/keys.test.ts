import { describe, expect, it } from 'vitest';
import type { StreamKey } from '../api/channel';
import { likeliestKey } from './keys';

const key = (id: string, last_used_at: string | null): StreamKey => ({ id, name: id, created_at: '2026-05-01T00:00:00Z', last_used_at });

describe('the key to type into OBS', () => {
  it('is the one used last', () => {
    const keys = [key('new', null), key('laptop', '2026-05-03T10:00:00Z'), key('phone', '2026-05-02T10:00:00Z')];
    expect(likeliestKey(keys)?.id).toBe('laptop');
  });

  it('is the newest when none was used, and none when there is none', () => {
    expect(likeliestKey([key('newest', null), key('older', null)])?.id).toBe('newest');
    expect(likeliestKey([])).toBeNull();
  });
});
