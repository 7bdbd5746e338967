import { describe, expect, it } from 'vitest';
import { startingAt, withoutStereo, withStereo } from './sdp';

const OFFER = ['m=audio 9 UDP/TLS/RTP/SAVPF 111 63', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1', 'a=rtpmap:63 red/48000/2', 'a=fmtp:63 111/111', ''].join('\r\n');

describe('an offer', () => {
  it('asks for Opus in stereo, once, and touches nothing else', () => {
    const asked = withStereo(OFFER);
    expect(asked).toBe(OFFER.replace('a=fmtp:111 ', 'a=fmtp:111 stereo=1;'));
    expect(withStereo(asked)).toBe(asked);
  });

  it('stays as it is without Opus', () => {
    const other = OFFER.replace('opus', 'PCMU');
    expect(withStereo(other)).toBe(other);
  });
});

describe('an answer', () => {
  it('says where to begin, whether the codec has parameters or not, and of pictures alone', () => {
    const answer = ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10', 'a=rtpmap:102 H264/90000', 'a=fmtp:102 packetization-mode=1', 'a=rtpmap:103 rtx/90000', 'a=fmtp:103 apt=102', 'a=rtpmap:96 VP8/90000', 'a=sendonly', ''];
    const told = startingAt(answer.join('\r\n'), 1_500).split('\r\n');
    const expected = [...answer];
    expected[3] += ';x-google-start-bitrate=1500';
    expected.splice(7, 0, 'a=fmtp:96 x-google-start-bitrate=1500');
    expect(told).toEqual(expected);
  });

  it('wants one channel where stereo is taken out', () => {
    expect(withoutStereo('a=fmtp:111 minptime=10;stereo=1;sprop-stereo=1;useinbandfec=1\r\n')).toBe('a=fmtp:111 minptime=10;useinbandfec=1\r\n');
  });
});
