import { describe, expect, it } from 'vitest';
import { obsServer } from './obs';

describe('the server to type into OBS', () => {
  it('leaves out the usual port and names any other', () => {
    expect(obsServer('live.example')).toBe('rtmp://live.example/live');
    expect(obsServer('live.example', 1935)).toBe('rtmp://live.example/live');
    expect(obsServer('192.168.1.7', 2935)).toBe('rtmp://192.168.1.7:2935/live');
  });

  it('puts an IPv6 address into brackets, once', () => {
    expect(obsServer('2001:db8::7', 2935)).toBe('rtmp://[2001:db8::7]:2935/live');
    expect(obsServer('[::1]')).toBe('rtmp://[::1]/live');
  });
});
