import { describe, expect, it } from 'vitest';
import { newLadder, onFault, onShown, PROVEN_MS, type Fault } from './ladder';

const low = () => newLadder('ws-flv');
const webrtc = () => newLadder('webrtc');

describe('the ladder of low delay', () => {
  it('leads from WebSocket over HTTP to the standard delay, and says why', () => {
    const first = onFault(low(), 0, 'refused');
    expect(first.descent).toEqual({ from: 'low', to: 'http-flv', why: 'refused' });
    const second = onFault(onShown(first.ladder, 1_000), 5_000, 'stalled');
    expect(second.descent).toEqual({ from: 'low', to: 'standard', why: 'stalled' });
    expect(onFault(second.ladder, 6_000, 'lost')).toEqual({ ladder: second.ladder, descent: null, pause_ms: 0 });
  });

  it('makes a connection that held for long anew, but not again and again', () => {
    const again = onFault(onShown(low(), 1_000), 1_000 + PROVEN_MS, 'lost');
    expect([again.ladder.rung, again.descent]).toEqual(['ws-flv', null]);
    const to = { from: 'low', to: 'http-flv' };
    expect(onFault(again.ladder, 1_500 + PROVEN_MS, 'refused').descent).toEqual({ ...to, why: 'refused' });
    expect(onFault(onShown(again.ladder, 1_500 + PROVEN_MS), 9_000 + PROVEN_MS, 'lost').descent).toEqual({ ...to, why: 'lost' });
  });

  it('gives media that played one more chance', () => {
    const again = onFault(onShown(low(), 0), 2_000, 'media');
    expect([again.ladder.rung, again.descent]).toEqual(['ws-flv', null]);
    const told = { from: 'low', to: 'http-flv', why: 'media' };
    expect(onFault(onShown(again.ladder, 2_500), 4_000, 'media').descent).toEqual(told);
    expect(onFault(low(), 0, 'media').descent).toEqual(told);
  });

  it('counts from the first picture of a connection', () => {
    const shown = onShown(onShown(low(), 0), PROVEN_MS);
    expect(onFault(shown, PROVEN_MS, 'stalled').descent).toBeNull();
  });
});

describe('the ladder that begins with WebRTC', () => {
  it('leads to the standard delay at once where no picture was shown, and says why', () => {
    for (const why of ['unreachable', 'refused', 'b_frames', 'codec', 'keyframe_old', 'full', 'browser', 'media'] satisfies Fault[]) {
      const { ladder, descent } = onFault(webrtc(), 3_000, why);
      expect([ladder.rung, descent]).toEqual(['standard', { from: 'webrtc', to: 'standard', why }]);
    }
  });

  it('asks for what worked twice more, then no longer', () => {
    const first = onFault(onShown(webrtc(), 0), 4_000, 'stalled');
    expect(first).toMatchObject({ ladder: { rung: 'webrtc', tries: 1 }, descent: null, pause_ms: 500 });
    const second = onFault(first.ladder, 8_000, 'refused');
    expect(second).toMatchObject({ ladder: { rung: 'webrtc', tries: 2 }, descent: null, pause_ms: 1_500 });
    expect(onFault(second.ladder, 12_000, 'unreachable').descent).toEqual({ from: 'webrtc', to: 'standard', why: 'unreachable' });
  });

  it('counts anew once a connection has held for long', () => {
    let ladder = onShown(webrtc(), 0);
    for (const now of [1, 2]) ladder = onShown(onFault(ladder, now, 'lost').ladder, now);
    expect(onFault(ladder, 2 + PROVEN_MS, 'lost')).toMatchObject({ ladder: { tries: 1 }, descent: null });
    expect(onFault(ladder, 1 + PROVEN_MS, 'lost').descent).not.toBeNull();
  });

  it('leaves at once for what another attempt would not change', () => {
    expect(onFault(onShown(webrtc(), 0), 4_000, 'b_frames').descent?.why).toBe('b_frames');
  });

  it('waits for the room where nobody is live', () => {
    let ladder = webrtc();
    for (let now = 0; now < 10; now += 1) {
      const step = onFault(ladder, now, 'over');
      expect(step).toMatchObject({ ladder: { rung: 'webrtc', tries: 0 }, descent: null, pause_ms: 1_000 });
      ladder = step.ladder;
    }
  });
});
