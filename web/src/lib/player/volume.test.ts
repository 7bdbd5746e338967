import { describe, expect, it } from 'vitest';
import { changeVolume, parseVolume, setVolume, toggleMuted } from './volume';

describe('volume', () => {
  it('is remembered, and full when what is remembered makes no sense', () => {
    expect(parseVolume('0.4', 'true')).toEqual({ level: 0.4, muted: true });
    expect(parseVolume(null, null)).toEqual({ level: 1, muted: false });
    expect(parseVolume('loud', 'x')).toEqual({ level: 1, muted: false });
    expect(parseVolume('7', 'false')).toEqual({ level: 1, muted: false });
  });

  it('stays within its bounds', () => {
    expect(changeVolume({ level: 0.98, muted: false }, 0.05)).toEqual({ level: 1, muted: false });
    expect(changeVolume({ level: 0.03, muted: false }, -0.05)).toEqual({ level: 0, muted: true });
    expect(setVolume(0.333)).toEqual({ level: 0.33, muted: false });
  });

  it('comes back from silence at something audible', () => {
    expect(toggleMuted({ level: 0, muted: true })).toEqual({ level: 0.5, muted: false });
    expect(toggleMuted(toggleMuted({ level: 0.7, muted: false }))).toEqual({ level: 0.7, muted: false });
    expect(changeVolume({ level: 0.7, muted: true }, 0.05).muted).toBe(false);
  });
});
