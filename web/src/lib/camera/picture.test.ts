import { describe, expect, it } from 'vitest';
import { bitrates, DEFAULT, encodingOf, parseChoice, pictureConstraints, preferred, soundConstraints, usualBitrate } from './picture';

describe('what is sent', () => {
  it('is 720p at 30 pictures a second and 2.5 Mbit/s, unless something else is chosen', () => {
    expect(DEFAULT).toEqual({ size: '720', fps: '30', bitrate_kbps: 2_500, sound: 'voice' });
    expect(usualBitrate('1080', '60')).toBe(6_800);
    expect(bitrates({ ...DEFAULT, bitrate_kbps: 3_000 })).toEqual([1_300, 1_900, 2_500, 3_000, 3_800, 5_000]);
  });

  it('is remembered as far as it makes sense', () => {
    const chosen = { size: '1080', fps: '60', bitrate_kbps: 6_000, sound: 'music' };
    expect(parseChoice(JSON.stringify(chosen))).toEqual(chosen);
    expect(parseChoice(JSON.stringify({ ...chosen, bitrate_kbps: 1e9, sound: 'loud' }))).toEqual({ ...chosen, bitrate_kbps: 6_800, sound: 'voice' });
    for (const nonsense of [null, '', '{', '7', 'null', '[]']) expect(parseChoice(nonsense)).toEqual(DEFAULT);
  });

  it('asks a camera for a size, and makes a screen smaller', () => {
    expect(pictureConstraints('camera', DEFAULT, 'c1')).toMatchObject({ deviceId: { exact: 'c1' }, width: { ideal: 1280 }, height: { ideal: 720 } });
    expect(pictureConstraints('screen', DEFAULT, null)).toEqual({ frameRate: { ideal: 30, max: 30 } });
    expect(encodingOf('camera', DEFAULT, 720)).toEqual({ maxBitrate: 2_500_000, maxFramerate: 30, scaleResolutionDownBy: 1 });
    expect(encodingOf('screen', DEFAULT, 1440).scaleResolutionDownBy).toBe(2);
    expect(encodingOf('screen', DEFAULT, 600).scaleResolutionDownBy).toBe(1);
  });

  it('leaves music as it is', () => {
    expect(soundConstraints('music', null)).toMatchObject({ echoCancellation: false, noiseSuppression: false, channelCount: { ideal: 2 } });
    expect(soundConstraints('voice', 'm1')).toMatchObject({ echoCancellation: true, deviceId: { exact: 'm1' } });
  });

  it('prefers the codec that every way of watching has', () => {
    const codecs = ['video/AV1', 'video/VP8', 'video/rtx', 'video/H264'].map((mimeType) => ({ mimeType }));
    const whole = { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=42e01f' };
    expect(preferred([...codecs, whole]).map(({ mimeType }) => mimeType)).toEqual(['video/H264', 'video/H264', 'video/VP8', 'video/AV1', 'video/rtx']);
    expect(preferred([...codecs, whole])[0]).toBe(whole);
  });
});
