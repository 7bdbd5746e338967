//! What is asked of a camera or a screen, and how it is sent. Pure.

export type Kind = 'camera' | 'screen';
export type Size = '480' | '720' | '1080';
export type Fps = '15' | '30' | '60';
/** Speech as phones make it, or everything as it is. */
export type Sound = 'voice' | 'music';

export interface Choice {
  size: Size;
  fps: Fps;
  bitrate_kbps: number;
  sound: Sound;
}

export const SIZES: readonly Size[] = ['480', '720', '1080'];
export const RATES: readonly Fps[] = ['15', '30', '60'];
export const SOUNDS: readonly Sound[] = ['voice', 'music'];

/** At 30 pictures a second. */
const USUAL_KBPS: Record<Size, number> = { '480': 1_200, '720': 2_500, '1080': 4_500 };
const SHARE: Record<Fps, number> = { '15': 0.6, '30': 1, '60': 1.5 };
const WIDTHS: Record<Size, number> = { '480': 854, '720': 1280, '1080': 1920 };
const STEP_KBPS = 100;
const BITRATE_MAX_KBPS = 20_000;
const SOUND_BPS: Record<Sound, number> = { voice: 64_000, music: 160_000 };

export function usualBitrate(size: Size, fps: Fps): number {
  return Math.round((USUAL_KBPS[size] * SHARE[fps]) / STEP_KBPS) * STEP_KBPS;
}

/** Half of the usual, the usual and twice as much, and what is chosen. */
export function bitrates({ size, fps, bitrate_kbps }: Choice): number[] {
  const usual = usualBitrate(size, fps);
  const some = [0.5, 0.75, 1, 1.5, 2].map((share) => Math.round((usual * share) / STEP_KBPS) * STEP_KBPS);
  return [...new Set([...some, bitrate_kbps])].sort((a, b) => a - b);
}

export const DEFAULT: Choice = { size: '720', fps: '30', bitrate_kbps: usualBitrate('720', '30'), sound: 'voice' };

/** What was remembered, as far as it makes sense. */
export function parseChoice(text: string | null): Choice {
  let told: Partial<Record<keyof Choice, unknown>>;
  try {
    told = Object(JSON.parse(text ?? '{}')) as typeof told;
  } catch {
    return DEFAULT;
  }
  const size = SIZES.find((one) => one === told.size) ?? DEFAULT.size;
  const fps = RATES.find((one) => one === told.fps) ?? DEFAULT.fps;
  const { bitrate_kbps: rate } = told;
  const sane = typeof rate === 'number' && rate >= STEP_KBPS && rate <= BITRATE_MAX_KBPS;
  return { size, fps, bitrate_kbps: sane ? rate : usualBitrate(size, fps), sound: SOUNDS.find((one) => one === told.sound) ?? DEFAULT.sound };
}

export function pictureConstraints(kind: Kind, { size, fps }: Choice, device: string | null): MediaTrackConstraints {
  const frameRate = { ideal: Number(fps), max: Number(fps) };
  // A screen is as large as it is, and made smaller when it is sent.
  if (kind === 'screen') return { frameRate };
  const from = device === null ? {} : { deviceId: { exact: device } };
  return { ...from, frameRate, width: { ideal: WIDTHS[size] }, height: { ideal: Number(size) } };
}

export function soundConstraints(sound: Sound, device: string | null): MediaTrackConstraints {
  const voice = sound === 'voice';
  const from = device === null ? {} : { deviceId: { exact: device } };
  return { ...from, echoCancellation: voice, noiseSuppression: voice, autoGainControl: voice, channelCount: { ideal: voice ? 1 : 2 } };
}

/** How pictures of this height are sent. Text on a screen has to stay sharp, a face has to go on moving. */
export function encodingOf(kind: Kind, { size, fps, bitrate_kbps }: Choice, height: number): RTCRtpEncodingParameters {
  return {
    maxBitrate: bitrate_kbps * 1_000,
    maxFramerate: Number(fps),
    scaleResolutionDownBy: kind === 'screen' ? Math.max(1, height / Number(size)) : 1,
  };
}

export function soundBitrate(sound: Sound): number {
  return SOUND_BPS[sound];
}

/** H.264 first, which every way of watching has; then VP8, which every browser has. */
export function preferred<Codec extends { mimeType: string; sdpFmtpLine?: string }>(codecs: readonly Codec[]): Codec[] {
  const rank = ({ mimeType, sdpFmtpLine }: Codec): number => {
    switch (mimeType.toLowerCase()) {
      case 'video/h264':
        return sdpFmtpLine?.includes('packetization-mode=1') ? 0 : 1;
      case 'video/vp8':
        return 2;
      default:
        return 3;
    }
  };
  return [...codecs].sort((a, b) => rank(a) - rank(b));
}
