import { describe, expect, it } from 'vitest';
import { fragmentOf, renamed } from './restart';

const SDP = ['v=0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=ice-ufrag:old', 'a=ice-pwd:secret', 'a=mid:0', ''].join('\r\n');

describe('ICE begun anew', () => {
  it('tells our new names and nothing of media', () => {
    expect(fragmentOf(SDP).split('\r\n')).toEqual(['a=ice-ufrag:old', 'a=ice-pwd:secret', 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0', '']);
  });

  it('gives the server its new names wherever the old ones stood', () => {
    const twice = SDP + SDP;
    const told = renamed(twice, 'a=ice-lite\r\na=ice-ufrag:new\r\na=ice-pwd:other\r\n');
    expect(told).toBe(twice.replaceAll('ufrag:old', 'ufrag:new').replaceAll('pwd:secret', 'pwd:other'));
    expect(renamed(SDP, 'a=ice-lite')).toBeNull();
  });
});
