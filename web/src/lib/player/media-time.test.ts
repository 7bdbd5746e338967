import type Mpegts from 'mpegts.js';
import { describe, expect, it } from 'vitest';
import { inRound, mediaTime } from './media-time';

function playerWith(base: unknown): Mpegts.Player {
  const inside = { _player_engine: { _transmuxer: { _controller: { _remuxer: { getTimestampBase: () => base } } } } };
  return inside as unknown as Mpegts.Player;
}

describe('media time', () => {
  it('is what the player took away and what it shows', () => {
    expect(mediaTime(playerWith(60_000), 2.5)).toBe(62_500);
  });

  it('is not known before something came, or from a player that is made otherwise', () => {
    expect(mediaTime(playerWith(undefined), 0)).toBeNull();
    expect(mediaTime(playerWith(Infinity), 0)).toBeNull();
    expect(mediaTime({} as Mpegts.Player, 1)).toBeNull();
  });

  it('goes on after the timestamps have gone round', () => {
    expect(inRound(5_000, 5_400)).toBe(5_000);
    expect(inRound(5_000, 2 ** 32 + 4_000)).toBe(2 ** 32 + 5_000);
    // Read with a sign.
    expect(inRound(-1_000, 2 ** 32 - 900)).toBe(2 ** 32 - 1_000);
  });
});
