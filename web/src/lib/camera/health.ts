//! How what is published fares on its way to the server. Pure.

export interface Sent {
  /** Our monotonic time, in milliseconds. */
  readonly at: number;
  readonly bytes: number;
  readonly fps: number | null;
  readonly width: number | null;
  readonly height: number | null;
  /** Such as `H264`. */
  readonly codec: string | null;
  readonly round_trip_ms: number | null;
  /** The share of what was sent of late that did not arrive. */
  readonly loss: number | null;
  /** Why the browser sends less than it was asked to. */
  readonly limited: 'cpu' | 'bandwidth' | null;
}

/** What is read of a statistics object, whichever kind it is of. */
interface Told {
  id?: string;
  type: string;
  kind?: string;
  bytesSent?: number;
  framesPerSecond?: number;
  frameWidth?: number;
  frameHeight?: number;
  codecId?: string;
  mimeType?: string;
  roundTripTime?: number;
  fractionLost?: number;
  qualityLimitationReason?: string;
}

export function sentOf(at: number, report: Iterable<object>): Sent {
  const told = [...report] as Told[];
  const of = (type: string): Told[] => told.filter((one) => one.type === type);
  const video = of('outbound-rtp').find(({ kind }) => kind === 'video');
  const arrived = of('remote-inbound-rtp').find(({ kind }) => kind === 'video');
  const codec = of('codec').find(({ id }) => id !== undefined && id === video?.codecId);
  const limited = video?.qualityLimitationReason;
  return {
    at,
    bytes: of('outbound-rtp').reduce((sum, { bytesSent }) => sum + (bytesSent ?? 0), 0),
    fps: video?.framesPerSecond ?? null,
    width: video?.frameWidth ?? null,
    height: video?.frameHeight ?? null,
    codec: codec?.mimeType?.split('/')[1] ?? null,
    round_trip_ms: arrived?.roundTripTime === undefined ? null : arrived.roundTripTime * 1_000,
    loss: arrived?.fractionLost ?? null,
    limited: limited === 'cpu' || limited === 'bandwidth' ? limited : null,
  };
}

export function bitrateOf(before: Sent | null, after: Sent): number | null {
  if (before === null || after.at <= before.at || after.bytes < before.bytes) return null;
  return ((after.bytes - before.bytes) * 8_000) / (after.at - before.at);
}

/** For so long at a stretch the browser may find its pace without anybody being told. */
export const LIMITED_MS = 5_000;

/** What the streamer can do something about. */
export type Trouble = 'cpu' | 'bandwidth' | 'loss' | 'far';

const LOSS_MAX = 0.05;
const ROUND_TRIP_MAX_MS = 400;

/** `limitedFor_ms`: for how long the browser has been sending less than asked. */
export function troubleOf(sent: Sent, limitedFor_ms: number): Trouble | null {
  if (sent.limited !== null && limitedFor_ms >= LIMITED_MS) return sent.limited;
  if ((sent.loss ?? 0) > LOSS_MAX) return 'loss';
  return (sent.round_trip_ms ?? 0) > ROUND_TRIP_MAX_MS ? 'far' : null;
}
