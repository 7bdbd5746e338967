//! Plays FLV through mpegts.js, over one transport, at live. What goes wrong is told and not mended: that is for the
//! ladder.

import Mpegts from 'mpegts.js';
import { bufferedAhead } from './buffered';
import { TICK_MS, type Context, type Engine, type EngineEvents, type Source, type Stats } from './engine';
import { FLV_CONFIG } from './flv-config';
import type { Fault, FlvTransport } from './ladder';
import { delayAt, onArrived, type LiveEdge } from './live-edge';
import { mediaTime } from './media-time';
import { keepPace, newPace, onSettle, onStall, type Pace } from './pace';
import { newStandstill, watch, type Standstill } from './standstill';

Mpegts.LoggingControl.applyConfig({ enableAll: false });

/** How much lies ahead of the picture: what a frame's way may vary by before the picture stops. */
const TARGET_S = 0.3;
/** A paused picture is not fed for longer than this. */
const PAUSED_MAX_S = 20;
/** The room's answer that the broadcast is over follows the end of the connection; longer than this it does not take. */
const OVER_MS = 2_000;

export interface FlvEvents extends Omit<EngineEvents, 'failed' | 'descended' | 'told' | 'climbed' | 'again'> {
  fault(fault: Fault): void;
}

export class FlvEngine implements Engine {
  #player: Mpegts.Player | null = null;
  #source: Source | null = null;
  #pace: Pace = newPace();
  #standstill: Standstill = newStandstill();
  #edge: LiveEdge | null = null;
  /** The connection brought FLV, and not what a proxy may say. */
  #arrived = false;
  #overSince: number | null = null;
  /** Disconnected in a long pause: since when, and how late the picture was. */
  #parked: { at: number; delay_ms: number } | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: FlvEvents,
    private readonly transport: FlvTransport,
  ) {}

  load(source: Source): void {
    this.#source = source;
    this.#connect();
  }

  unload(): void {
    this.#source = null;
    this.#parked = null;
    this.#disconnect();
  }

  destroy(): void {
    this.unload();
  }

  goLive(): void {
    if (this.#parked) this.#connect();
    else this.#jump();
  }

  tick(now: number, context: Context): Stats {
    this.#watch(now, context);
    const { video } = this;
    const ahead_s = bufferedAhead(video);
    if (ahead_s > 0) this.#edge = onArrived(this.#edge, now, video.currentTime + ahead_s);
    const delay_ms = this.#delay(now);
    if (context.moving) this.#keepPace(ahead_s, context.following);
    else if (video.paused && ahead_s > PAUSED_MAX_S) {
      this.#parked = { at: now, delay_ms: delay_ms ?? 0 };
      this.#disconnect();
    }
    return {
      protocol: this.transport,
      delay_ms,
      late_ms: Math.max(0, (delay_ms ?? 0) - TARGET_S * 1000),
      picture: video.videoWidth > 0 ? { width: video.videoWidth, height: video.videoHeight, fps: null } : null,
    };
  }

  /** FLV has it in its timestamps. */
  mediaTime(): number | null {
    return this.#player && mediaTime(this.#player, this.video.currentTime);
  }

  #connect(): void {
    this.#disconnect();
    if (this.#source === null) return;
    this.#parked = null;
    this.#pace = newPace();
    this.#standstill = newStandstill();
    const url = urlOf(this.#source.flv, this.transport);
    const player = Mpegts.createPlayer({ type: 'flv', isLive: true, url }, FLV_CONFIG);
    this.#player = player;
    player.on(Mpegts.Events.MEDIA_INFO, (info: { hasAudio?: boolean }) => {
      this.#arrived = true;
      this.events.manifest(info.hasAudio ?? null);
    });
    player.on(Mpegts.Events.LOADING_COMPLETE, () => (this.#overSince ??= performance.now()));
    player.on(Mpegts.Events.ERROR, (type: string) => {
      if (!this.#arrived) this.#tell(player, 'refused');
      else this.#tell(player, type === Mpegts.ErrorTypes.MEDIA_ERROR ? 'media' : 'lost');
    });
    player.attachMediaElement(this.video);
    player.load();
    this.video.addEventListener('error', this.#onVideoError);
    this.events.attached();
  }

  #disconnect(): void {
    const player = this.#player;
    if (!player) return;
    this.#player = null;
    this.#edge = null;
    this.#arrived = false;
    this.#overSince = null;
    this.events.detaching();
    this.video.removeEventListener('error', this.#onVideoError);
    player.destroy();
  }

  #onVideoError = (): void => {
    if (this.#player && this.video.error?.code === MediaError.MEDIA_ERR_DECODE) this.#tell(this.#player, 'media');
  };

  /** Later, because mpegts.js is not done with its own events yet. */
  #tell(player: Mpegts.Player, fault: Fault): void {
    setTimeout(() => {
      if (this.#player === player) this.events.fault(fault);
    });
  }

  #watch(now: number, context: Context): void {
    const player = this.#player;
    if (!player) return;
    const [standstill, movement] = watch(this.#standstill, context.moving, context.expecting && !this.video.paused);
    this.#standstill = standstill;
    if (this.#overSince !== null) {
      if (!this.#arrived) this.#tell(player, 'refused');
      else if (context.expecting && now - this.#overSince > OVER_MS) this.#tell(player, 'lost');
    } else if (movement === 'stuck') this.#tell(player, this.#arrived ? 'stalled' : 'refused');
    else if (movement !== 'none') this.#pace = onSettle(movement === 'hiccup' ? onStall(this.#pace) : this.#pace);
  }

  #keepPace(ahead_s: number, following: boolean): void {
    const reading = { latency_s: ahead_s, target_s: TARGET_S, buffered_s: ahead_s, following };
    const [pace, action] = keepPace(this.#pace, TICK_MS / 1000, reading);
    this.#pace = pace;
    if (action.type === 'jump') this.#jump();
    if (this.video.playbackRate !== pace.rate) this.video.playbackRate = pace.rate;
  }

  #jump(): void {
    const by_s = bufferedAhead(this.video) - TARGET_S - this.#pace.caution_s;
    if (by_s > 0) this.video.currentTime += by_s;
  }

  #delay(now: number): number | null {
    if (this.#parked) return this.#parked.delay_ms + now - this.#parked.at;
    return this.#edge && this.#standstill.pictured ? delayAt(this.#edge, now, this.video.currentTime) : null;
  }
}

function urlOf(path: string, transport: FlvTransport): string {
  const url = new URL(path, location.href);
  if (transport === 'ws-flv') url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
