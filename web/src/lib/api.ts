//! How the pages ask the server, and what it answers about streams and channels.

/** What happens when somebody publishes while somebody does. */
export type SecondPublisher = 'refuse' | 'replace';

export interface Channel {
  id: string;
  handle: string;
  name: string;
  title: string;
  category: string;
  tags: string[];
  /** As BCP 47 writes it; may be empty, like the title and the category. */
  language: string;
  second_publisher: SecondPublisher;
  /** Whether pictures with B-frames are made anew for viewers over WebRTC. */
  transcodes: boolean;
}

export interface Video {
  codec: string;
  width: number;
  height: number;
  fps: number;
  bitrate_bps: number;
  /** Between the last two; 0 before there are two. */
  keyframe_interval_ms: number;
  frames: number;
}

export interface Audio {
  codec: string;
  sample_rate: number;
  channels: number;
  bitrate_bps: number;
  frames: number;
}

/** Something that viewers notice, or soon will. */
export type StreamProblem =
  | { code: 'publisher_gone' | 'key_revoked' | 'no_picture' | 'no_sound' }
  | { code: 'transcoding_no_room' | 'transcoding_slow' | 'transcoding_fails' }
  | { code: 'keyframes_far_apart'; interval_ms: number }
  | { code: 'few_frames'; fps: number }
  | { code: 'few_bits'; bitrate_bps: number; wanted_bps: number }
  | { code: 'pictures_in_webrtc_alone'; codec: string }
  | { code: 'b_frames'; could_transcode: boolean }
  | { code: 'frames_dropped'; frames: number };

export interface Stream {
  broadcast_id: string;
  channel: Channel;
  title: string;
  state: 'live' | 'waiting';
  started_at: string;
  uptime_ms: number;
  protocol: string;
  /** What the publisher calls itself. */
  encoder?: string;
  video: Video | null;
  audio: Audio | null;
  /** Frames that came and could not be delivered. */
  dropped_frames: number;
  viewers: { hls: number; flv: number; rtmp: number; webrtc: number; total: number };
  playback: { hls: string; flv: string; whep?: string; whep_anew: boolean; sound_alone: ('hls' | 'flv')[] };
  /** A still picture that is not older than some seconds, if the server makes any. */
  thumbnail?: string;
  /** Worst first. */
  problems: StreamProblem[];
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

/** `status` is 0 when no answer came; `message` is the server's own, in English. */
export class ApiFailure extends Error {
  /** Which value was not acceptable. */
  readonly field: string | null;
  /** Why it was not, or why the account is closed. */
  readonly reason: string | null;
  /** The most there may be, where that is the trouble. */
  readonly max: number | null;
  /** How long to wait before another attempt, if the server said. */
  readonly retry_after_s: number | null;

  constructor(
    readonly status: number,
    readonly code: string | null,
    more: {
      message?: string | null;
      field?: string | null;
      reason?: string | null;
      max?: number | null;
      retry_after_s?: number | null;
    } = {},
  ) {
    super(more.message ?? code ?? `status ${status}`);
    this.field = more.field ?? null;
    this.reason = more.reason ?? null;
    this.max = more.max ?? null;
    this.retry_after_s = more.retry_after_s ?? null;
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

/** An answer is not waited for longer than this, where nobody says otherwise. */
const PATIENCE_MS = 15_000;
/** A file may go over a slow line. */
const UPLOAD_PATIENCE_MS = 60_000;

let whenSignedOut = (): void => undefined;

/** Tells `listener` when the server says that nobody is signed in, whatever was asked. */
export function onSignedOut(listener: () => void): void {
  whenSignedOut = listener;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<Answer<T>> {
  const sent_at = performance.now();
  const response = await ask(path, { method: 'GET' }, signal);
  const received_at = performance.now();
  return { body: await json<T>(response), sent_at, received_at };
}

/** Changes something. What answers without a body gives `undefined`. */
export async function send<T = void>(
  method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  /** What is sent again under it is done once. */
  key?: string,
): Promise<T> {
  const sent: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await ask(path, key === undefined ? sent : { ...sent, headers: { 'idempotency-key': key } }, signal);
  if (response.status === 204 || response.status === 202) return undefined as T;
  return json<T>(response);
}

/** Sends a file as it is. */
export async function upload<T>(path: string, file: Blob): Promise<T> {
  return json<T>(await ask(path, { method: 'POST', body: file }, AbortSignal.timeout(UPLOAD_PATIENCE_MS)));
}

async function ask(path: string, init: RequestInit, signal = AbortSignal.timeout(PATIENCE_MS)): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json', ...(init.headers as Record<string, string> | undefined) };
  if (typeof init.body === 'string') headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal, headers, cache: 'no-store' });
  } catch {
    throw new ApiFailure(0, null);
  }
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.code === 'not_signed_in') whenSignedOut();
  throw failure;
}

async function json<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiFailure(response.status, 'not_json');
  }
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const wait = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  const retry_after_s = Number.isNaN(wait) ? null : wait;
  try {
    const { error } = (await response.json()) as { error?: Record<string, unknown> };
    const more = {
      message: text(error?.['message']),
      field: text(error?.['field']),
      reason: text(error?.['reason']),
      max: typeof error?.['max'] === 'number' ? error['max'] : null,
      retry_after_s,
    };
    return new ApiFailure(response.status, text(error?.['code']), more);
  } catch {
    return new ApiFailure(response.status, null, { retry_after_s });
  }
}
