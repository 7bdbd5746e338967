//! Plays through hls.js and keeps it playing: fatal errors are mended by `recovery.ts`, the distance from live is kept
//! by `pace.ts`.

import Hls, { ErrorTypes, type ErrorData, type Level } from 'hls.js';
import { bufferedAhead } from './buffered';
import type { Context, Engine, EngineEvents, Source, Stats } from './engine';
import { credibleDelay, TICK_MS } from './engine';
import { HLS_CONFIG } from './hls-config';
import { keepPace, newPace, onSettle, onStall, type Pace } from './pace';
import { newRecovery, onFault, type Fault, type Recovery } from './recovery';
import { newStandstill, watch, type Standstill } from './standstill';

/** Of the noise of a playlist's age, this much of each new latency reading is believed. */
const SMOOTHING = 0.2;

export class HlsEngine implements Engine {
  #hls: Hls | null = null;
  #src: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #recovery: Recovery = newRecovery();
  #pace: Pace = newPace();
  #latency_s: number | null = null;
  #standstill: Standstill = newStandstill();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: EngineEvents,
  ) {}

  static supported(): boolean {
    return Hls.isSupported();
  }

  load(source: Source): void {
    this.#src = source.hls;
    this.#recovery = newRecovery();
    this.#pace = newPace();
    this.#build();
  }

  unload(): void {
    this.#src = null;
    this.#dismantle();
  }

  destroy(): void {
    this.unload();
  }

  goLive(): void {
    this.#pace = onSettle(this.#pace);
    this.#jump();
  }

  tick(now: number, context: Context): Stats {
    const hls = this.#hls;
    const latency_s = hls && hls.latency > 0 ? this.#smooth(hls.latency) : null;
    const target_s = hls?.targetLatency ?? null;
    const late_s = latency_s !== null && target_s !== null ? latency_s - target_s : 0;

    this.#watch(now, context);
    if (hls && latency_s !== null && target_s !== null && context.moving) {
      this.#keepPace(latency_s, target_s, context.following);
    }
    const details = hls?.latestLevelDetails ?? null;
    return {
      protocol: details && (details.partList !== null || details.canBlockReload) ? 'll-hls' : 'hls',
      delay_ms:
        credibleDelay(context.serverNow, hls?.playingDate?.getTime() ?? null) ??
        (latency_s === null ? null : latency_s * 1000),
      late_ms: late_s * 1000,
      picture: hls ? pictureOf(hls.levels[hls.currentLevel], this.video) : null,
    };
  }

  #build(): void {
    this.#dismantle();
    const src = this.#src;
    if (src === null) return;
    const hls = new Hls(HLS_CONFIG);
    this.#hls = hls;
    this.#standstill = newStandstill();
    hls.on(Hls.Events.MANIFEST_PARSED, (_, data) => {
      this.events.manifest(audioIn(data.levels, data.audioTracks.length));
    });
    hls.on(Hls.Events.BUFFER_CODECS, (_, tracks) => {
      if (tracks.audio || tracks.audiovideo) this.events.manifest(true);
    });
    hls.on(Hls.Events.MEDIA_ATTACHED, () => this.events.attached());
    hls.on(Hls.Events.ERROR, (_, error) => this.#onError(error));
    hls.loadSource(src);
    hls.attachMedia(this.video);
  }

  #dismantle(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#latency_s = null;
    if (!this.#hls) return;
    this.events.detaching();
    this.#hls.destroy();
    this.#hls = null;
    this.video.playbackRate = 1;
  }

  #onError(error: ErrorData): void {
    // Not fatal to hls.js, which then asks ever more seldom.
    if (error.details === Hls.ErrorDetails.LEVEL_EMPTY_ERROR) {
      this.#mend('empty');
      return;
    }
    if (!error.fatal) return;
    if (error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      this.events.failed('unsupported');
      return;
    }
    this.#mend(faultOf(error));
  }

  #mend(fault: Fault): void {
    // One remedy at a time; a second error while waiting for it is the same trouble.
    if (this.#timer !== undefined || this.#src === null) return;
    const { recovery, remedy, delay_ms, tell } = onFault(this.#recovery, performance.now(), fault, Math.random());
    this.#recovery = recovery;
    if (tell) this.events.failed(tell);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#standstill = { ...this.#standstill, still_ms: 0 };
      switch (remedy) {
        case 'start-load':
          this.#hls?.startLoad();
          break;
        case 'recover-media':
          this.events.detaching();
          this.#hls?.recoverMediaError();
          break;
        case 'rebuild':
          this.#build();
          break;
      }
    }, delay_ms);
  }

  /** Notices standstills, and that all is well again. */
  #watch(now: number, context: Context): void {
    const due = context.expecting && !this.video.paused && this.#timer === undefined;
    const [standstill, movement] = watch(this.#standstill, context.moving, due);
    this.#standstill = standstill;
    if (movement === 'stuck') this.#mend('stuck');
    else if (movement !== 'none') this.#pace = onSettle(movement === 'hiccup' ? onStall(this.#pace) : this.#pace);
    if (!context.moving) return;
    if (this.#recovery.since !== null && now - this.#recovery.since > 2_000) this.#recovery = newRecovery();
  }

  #keepPace(latency_s: number, target_s: number, following: boolean): void {
    const [pace, action] = keepPace(this.#pace, TICK_MS / 1000, {
      latency_s,
      target_s,
      buffered_s: bufferedAhead(this.video),
      following,
    });
    this.#pace = pace;
    if (action.type === 'jump') this.#jump();
    if (this.video.playbackRate !== pace.rate) this.video.playbackRate = pace.rate;
  }

  #jump(): void {
    const hls = this.#hls;
    const sync = hls?.liveSyncPosition ?? null;
    if (!hls || sync === null) return;
    const position = sync - this.#pace.caution_s;
    if (position <= this.video.currentTime) return;
    this.#latency_s = null;
    this.video.currentTime = position;
  }

  #smooth(latency_s: number): number {
    const last = this.#latency_s;
    this.#latency_s =
      last === null || Math.abs(latency_s - last) > 1.5 ? latency_s : last + (latency_s - last) * SMOOTHING;
    return this.#latency_s;
  }
}

function faultOf(error: ErrorData): Fault {
  switch (error.details) {
    case Hls.ErrorDetails.MANIFEST_LOAD_ERROR:
    case Hls.ErrorDetails.MANIFEST_LOAD_TIMEOUT:
    case Hls.ErrorDetails.MANIFEST_PARSING_ERROR:
      return 'manifest';
    default:
      return error.type === ErrorTypes.MEDIA_ERROR || error.type === ErrorTypes.MUX_ERROR ? 'media' : 'network';
  }
}

/** Null when the manifest names no codecs, so that nobody can tell. */
function audioIn(levels: readonly Level[], audioTracks: number): boolean | null {
  if (audioTracks > 0 || levels.some((level) => level.audioCodec)) return true;
  return levels.some((level) => level.videoCodec) ? false : null;
}

function pictureOf(level: Level | undefined, video: HTMLVideoElement): Stats['picture'] {
  const width = level?.width || video.videoWidth;
  const height = level?.height || video.videoHeight;
  if (!width || !height) return null;
  return { width, height, fps: level?.frameRate || null };
}
