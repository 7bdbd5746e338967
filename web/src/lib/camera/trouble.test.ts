import { describe, expect, it } from 'vitest';
import { passes, troubleOfAnswer, troubleOfDevice } from './trouble';

describe('trouble', () => {
  it('is told by what the browser throws', () => {
    expect(troubleOfDevice('camera', 'NotAllowedError')).toBe('forbidden');
    expect(troubleOfDevice('screen', 'NotAllowedError')).toBe('not_shared');
    expect(troubleOfDevice('camera', 'NotFoundError')).toBe('no_camera');
    expect(troubleOfDevice('camera', 'NotReadableError')).toBe('in_use');
    expect(troubleOfDevice('camera', 'OverconstrainedError')).toBe('device');
  });

  it('is told by what the server answers', () => {
    expect(['taken', 'wrong_key', 'too_many', 'codec', null].map(troubleOfAnswer)).toEqual(['taken', 'wrong_key', 'full', 'server', 'server']);
  });

  it('passes by itself, or has to be seen to', () => {
    expect(passes('unreachable')).toBe(true);
    expect(passes('wrong_key')).toBe(false);
  });
});
