//! The server's answers as types, and the two questions the pages ask.

export interface Channel {
  id: string;
  handle: string;
  name: string;
}

export interface Video {
  codec: string;
  width: number;
  height: number;
  fps: number;
  bitrate_bps: number;
}

export interface Audio {
  codec: string;
  sample_rate: number;
  channels: number;
  bitrate_bps: number;
}

export interface Stream {
  broadcast_id: string;
  channel: Channel;
  title: string;
  state: 'live' | 'waiting';
  started_at: string;
  uptime_ms: number;
  protocol: string;
  video: Video | null;
  audio: Audio | null;
  viewers: { hls: number; total: number };
  playback: { hls: string };
}

export interface StreamsAnswer {
  server_time_ms: number;
  streams: Stream[];
}

export interface ChannelAnswer {
  server_time_ms: number;
  channel: Channel;
  live: Stream | null;
  last_live_at: string | null;
}

/** `status` is 0 when no answer came. */
export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly code: string | null,
  ) {
    super(code ?? `status ${status}`);
  }
}

export interface Answer<T> {
  body: T;
  sent_at: number;
  received_at: number;
}

export function getStreams(signal: AbortSignal): Promise<Answer<StreamsAnswer>> {
  return get('/api/v1/streams', signal);
}

export function getChannel(handle: string, signal: AbortSignal): Promise<Answer<ChannelAnswer>> {
  return get(`/api/v1/channels/${encodeURIComponent(handle)}`, signal);
}

async function get<T>(path: string, signal: AbortSignal): Promise<Answer<T>> {
  const sent_at = performance.now();
  let response: Response;
  try {
    response = await fetch(path, { signal, headers: { accept: 'application/json' }, cache: 'no-store' });
  } catch {
    throw new ApiFailure(0, null);
  }
  const received_at = performance.now();
  if (!response.ok) throw new ApiFailure(response.status, await errorCode(response));
  try {
    return { body: (await response.json()) as T, sent_at, received_at };
  } catch {
    throw new ApiFailure(response.status, 'not_json');
  }
}

async function errorCode(response: Response): Promise<string | null> {
  try {
    const body = (await response.json()) as { error?: { code?: unknown } };
    return typeof body.error?.code === 'string' ? body.error.code : null;
  } catch {
    return null;
  }
}
