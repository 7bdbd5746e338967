import { describe, expect, it } from 'vitest';
import { API_SILENCE_MS, LEAVING_MS, STILL_SILENCE_MS, newRoom, step, view, type Effect, type Input, type Live, type Room } from './core';

const SOURCE = { hls: '/hls/barrage/index.m3u8', flv: '/live/barrage.flv' };
const OTHER = { hls: '/hls/b/index.m3u8', flv: '/live/b.flv' };
const live = (changes: Partial<Live> = {}): Live => ({
  broadcastId: 'one',
  waiting: false,
  hasAudio: true,
  source: SOURCE,
  ...changes,
});

/** Runs inputs through the machine and remembers what it asked for. */
class Stage {
  room: Room = newRoom();
  now = 0;
  effects: Effect[] = [];

  after(ms: number, ...inputs: Input[]): this {
    this.now += ms;
    this.effects = [];
    for (const input of inputs) {
      const [room, effects] = step(this.room, this.now, input);
      this.room = room;
      this.effects.push(...effects);
    }
    return this;
  }

  get state(): string {
    const shown = view(this.room, this.now);
    return shown.state === 'error' ? `error:${shown.error}` : shown.state;
  }
}

const playing = (): Stage =>
  new Stage().after(
    0,
    { type: 'channel', live: live() },
    { type: 'manifest', hasAudio: true },
    { type: 'media', media: 'playing' },
  );

describe('a room', () => {
  it('loads before it knows anything', () => {
    expect(new Stage().state).toBe('loading');
  });

  it('is offline when the channel is, and goes live by itself', () => {
    const stage = new Stage().after(0, { type: 'channel', live: null });
    expect(stage.state).toBe('offline');
    stage.after(2_000, { type: 'channel', live: live() });
    expect(stage.effects).toEqual([{ type: 'load', source: SOURCE }]);
    expect(stage.state).toBe('loading');
    stage.after(300, { type: 'media', media: 'playing' });
    expect(stage.state).toBe('playing');
  });

  it('loads a broadcast once, however often it is told of it', () => {
    const stage = playing().after(3_000, { type: 'channel', live: live() });
    expect(stage.effects).toEqual([]);
  });

  it('is not found when there is no such channel, and found when there is', () => {
    const stage = new Stage().after(0, { type: 'channel-missing' });
    expect(stage.state).toBe('not-found');
    expect(stage.after(0, { type: 'channel', live: null }).state).toBe('offline');
  });

  it('unloads when the channel disappears under it', () => {
    expect(playing().after(0, { type: 'channel-missing' }).effects).toEqual([{ type: 'unload' }]);
  });

  it('buffers when the picture stalls, and asks the API why', () => {
    const stage = playing().after(0, { type: 'media', media: 'stalled' });
    expect(stage.state).toBe('buffering');
    expect(stage.effects).toEqual([{ type: 'ask' }]);
  });

  it('waits when the publisher vanished, and plays on as soon as there is a picture', () => {
    const stage = playing().after(0, { type: 'channel', live: live({ waiting: true }) });
    expect(stage.state).toBe('playing');
    stage.after(900, { type: 'media', media: 'stalled' });
    expect(stage.state).toBe('waiting');
    expect(stage.effects).toEqual([]);
    stage.after(30_000, { type: 'media', media: 'playing' });
    expect(stage.state).toBe('playing');
  });

  it('waits rather than complains when loading fails during the outage', () => {
    const stage = playing().after(
      0,
      { type: 'channel', live: live({ waiting: true }) },
      { type: 'media', media: 'stalled' },
      { type: 'failed', failure: 'network' },
    );
    expect(stage.state).toBe('waiting');
    expect(stage.after(0, { type: 'channel', live: live() }).state).toBe('error:network');
  });

  it('shows the last seconds of a broadcast that has ended, then the slate', () => {
    const stage = playing().after(0, { type: 'channel', live: null });
    expect(stage.state).toBe('playing');
    stage.after(1_500, { type: 'media', media: 'ended' });
    expect(stage.state).toBe('offline');
    expect(stage.effects).toEqual([{ type: 'unload' }]);
  });

  it('does not show them for ever', () => {
    const stage = playing().after(0, { type: 'channel', live: null });
    expect(stage.after(LEAVING_MS - 1, { type: 'timeout' }).effects).toEqual([]);
    expect(stage.after(1, { type: 'timeout' }).effects).toEqual([{ type: 'unload' }]);
    expect(stage.state).toBe('offline');
  });

  it('stays when the broadcast turns out to go on', () => {
    const stage = playing().after(0, { type: 'channel', live: null }, { type: 'channel', live: live() });
    expect(stage.after(LEAVING_MS, { type: 'timeout' }).effects).toEqual([]);
    expect(stage.state).toBe('playing');
  });

  it('loads anew when another broadcast begins', () => {
    const stage = playing().after(0, { type: 'channel', live: live({ broadcastId: 'two', source: OTHER }) });
    expect(stage.effects).toEqual([{ type: 'load', source: OTHER }]);
    expect(stage.state).toBe('loading');
  });

  it('loads anew, once, when audio appears that the manifest had not', () => {
    const stage = new Stage().after(
      0,
      { type: 'channel', live: live({ hasAudio: false }) },
      { type: 'manifest', hasAudio: false },
      { type: 'media', media: 'playing' },
    );
    stage.after(3_000, { type: 'channel', live: live() });
    expect(stage.effects).toEqual([{ type: 'load', source: SOURCE }]);
    expect(stage.state).toBe('buffering');
    stage.after(300, { type: 'manifest', hasAudio: false });
    expect(stage.effects).toEqual([]);
    stage.after(3_000, { type: 'channel', live: live() });
    expect(stage.effects).toEqual([]);
  });

  it('does not guess about audio when the manifest does not say', () => {
    const stage = new Stage().after(0, { type: 'channel', live: live() }, { type: 'manifest', hasAudio: null });
    expect(stage.after(3_000, { type: 'channel', live: live() }).effects).toEqual([]);
  });

  it('plays on while the API fails', () => {
    expect(playing().after(60_000, { type: 'api-failed' }).state).toBe('playing');
  });

  it('asks whether the broadcast is over when the connection breaks off, also where the picture stood still before', () => {
    const stage = playing().after(0, { type: 'media', media: 'stalled' });
    expect(stage.after(1_000, { type: 'lost' }).effects).toEqual([{ type: 'ask' }]);
    expect(stage.after(10, { type: 'channel', live: null }).effects).toEqual([{ type: 'unload' }]);
    expect(stage.after(10, { type: 'lost' }).effects).toEqual([]);
  });

  it('says so when the first answer fails, and gets over it', () => {
    const stage = new Stage().after(0, { type: 'api-failed' });
    expect(stage.state).toBe('error:api');
    expect(stage.after(1_000, { type: 'channel', live: null }).state).toBe('offline');
  });

  it('believes it is offline only so long without an answer', () => {
    const stage = new Stage().after(0, { type: 'channel', live: null }, { type: 'api-failed' });
    expect(stage.after(API_SILENCE_MS - 1, { type: 'api-failed' }).state).toBe('offline');
    expect(stage.after(1, { type: 'api-failed' }).state).toBe('error:api');
  });

  it('does not call it buffering, or live, when the server is gone', () => {
    const stage = playing().after(0, { type: 'media', media: 'stalled' }, { type: 'api-failed' });
    expect(stage.after(STILL_SILENCE_MS - 1, { type: 'timeout' }).state).toBe('buffering');
    expect(stage.after(1, { type: 'timeout' }).state).toBe('error:api');
    expect(stage.after(0, { type: 'failed', failure: 'network' }).state).toBe('error:api');
    expect(stage.after(0, { type: 'media', media: 'playing' }).state).toBe('playing');
    stage.after(0, { type: 'media', media: 'paused' });
    expect(stage.state).toBe('playing');
  });

  it('shows a failure until there is a picture', () => {
    const stage = playing().after(0, { type: 'media', media: 'stalled' }, { type: 'failed', failure: 'decode' });
    expect(stage.state).toBe('error:decode');
    expect(stage.after(0, { type: 'media', media: 'playing' }).state).toBe('playing');
  });

  it('counts a paused picture as playing', () => {
    expect(playing().after(0, { type: 'media', media: 'paused' }).state).toBe('playing');
  });
});
