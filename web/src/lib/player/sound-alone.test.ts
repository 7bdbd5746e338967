import { describe, expect, it } from 'vitest';
import { codecName, hasSoundAlone, withPictures } from './sound-alone';

describe('sound alone', () => {
  it('is of the ways that the server names', () => {
    expect(hasSoundAlone('ll-hls', ['hls', 'flv'])).toBe(true);
    expect(hasSoundAlone('ll-hls', ['flv'])).toBe(false);
    expect(hasSoundAlone('ws-flv', ['flv'])).toBe(true);
    expect(hasSoundAlone('webrtc', ['hls', 'flv'])).toBe(false);
  });

  it('leads to what has the pictures, if anything here does', () => {
    expect(withPictures(['auto', 'standard', 'low'], ['hls', 'flv'])).toBe('auto');
    expect(withPictures(['standard', 'low'], ['flv'])).toBe('standard');
    expect(withPictures(['standard', 'low'], ['hls', 'flv'])).toBeNull();
  });
});

it('codecs are called as people call them', () => {
  expect(['vp8', 'vp08.00.10.08', 'vp09.00.31.08', 'av01.0.04M.08', 'avc1.64001f', 'mjpeg'].map(codecName)).toEqual(['VP8', 'VP8', 'VP9', 'AV1', 'H.264', 'mjpeg']);
});
