//! Plays through the browser's own HLS, for iPhones that have no Media Source Extensions.

import { backoffDelay } from '../backoff';
import { credibleDelay, TICK_MS, type Context, type Engine, type EngineEvents, type Source, type Stats } from './engine';
import { TELL_AFTER_MS } from './recovery';

const BACKOFF = { base_ms: 1_000, max_ms: 8_000, factor: 1.6, jitter: 0.2 };
const STUCK_MS = 10_000;

/** Safari's own: the EXT-X-PROGRAM-DATE-TIME of time zero. */
interface DatedVideo extends HTMLVideoElement {
  getStartDate?: () => Date;
}

export class NativeEngine implements Engine {
  #src: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #failingSince: number | null = null;
  #still_ms = 0;

  constructor(
    private readonly video: DatedVideo,
    private readonly events: EngineEvents,
  ) {
    video.addEventListener('error', this.#onError);
  }

  static supported(video: HTMLVideoElement): boolean {
    return video.canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  load(source: Source): void {
    this.#src = source.hls;
    this.#failures = 0;
    this.#failingSince = null;
    this.#start();
  }

  unload(): void {
    this.#src = null;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.events.detaching();
    this.video.removeAttribute('src');
    this.video.load();
  }

  destroy(): void {
    this.unload();
    this.video.removeEventListener('error', this.#onError);
  }

  goLive(): void {
    const { seekable } = this.video;
    if (seekable.length > 0) this.video.currentTime = seekable.end(seekable.length - 1);
  }

  tick(_now: number, context: Context): Stats {
    if (context.moving) {
      this.#failures = 0;
      this.#failingSince = null;
      this.#still_ms = 0;
    } else if (context.expecting && !this.video.paused && this.#timer === undefined) {
      this.#still_ms += TICK_MS;
      if (this.#still_ms >= STUCK_MS) this.#retry();
    }
    const { seekable, currentTime, videoWidth, videoHeight } = this.video;
    const late_s = seekable.length > 0 ? seekable.end(seekable.length - 1) - currentTime : 0;
    return {
      protocol: 'hls',
      delay_ms: credibleDelay(context.serverNow, this.#playingDate()) ?? (late_s > 0 ? late_s * 1000 : null),
      // The end of the seekable range already lies at the hold-back.
      late_ms: Math.max(0, late_s) * 1000,
      picture: videoWidth > 0 ? { width: videoWidth, height: videoHeight, fps: null } : null,
    };
  }

  #start(): void {
    if (this.#src === null) return;
    this.#still_ms = 0;
    this.video.src = this.#src;
    this.events.attached();
  }

  #onError = (): void => {
    if (this.#src !== null) this.#retry();
  };

  #retry(): void {
    if (this.#timer !== undefined) return;
    const now = performance.now();
    this.#failures += 1;
    this.#failingSince ??= now;
    if (now - this.#failingSince >= TELL_AFTER_MS) this.events.failed('network');
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.events.detaching();
      this.#start();
    }, backoffDelay(BACKOFF, this.#failures, Math.random()));
  }

  #playingDate(): number | null {
    const start = this.video.getStartDate?.().getTime();
    return start === undefined || Number.isNaN(start) ? null : start + this.video.currentTime * 1000;
  }
}
