//! Plays over WebRTC, at live. What goes wrong is told and not mended: that is for the ladder.

import { connect, end, offer, Refused, tellSeen } from '../webrtc/session';
import { take } from '../webrtc/ready';
import { credibleDelay, type Context, type Engine, type EngineEvents, type Source, type Stats } from './engine';
import type { Fault } from './ladder';
import { delayOf, heldFor, readingOf, type Reading } from './whep-reading';
import { Reserve } from './whep-reserve';

/** Where datagrams get through, it takes a fraction of this until the connection is there, and until a picture is. */
export const CONNECTED_MS = 3_000;
const PICTURED_MS = 3_000;
/** Without anything new for this long, while pictures should come, the connection is of no use. */
const SILENT_MS = 4_000;
/** The picture stands still for who looks at it. */
const STILL_MS = 1_500;
/** How often the server is told how the picture fares. */
const TELL_MS = 10_000;
/** A paused picture is not sent for longer than this. */
const PAUSED_MAX_MS = 20_000;
/** Of each new reading of the delay, this much is believed; and of each picture's way to the screen. */
const SMOOTHING = 0.3;
const SMOOTHING_EACH = 0.1;

export interface WhepEvents extends Omit<EngineEvents, 'failed' | 'descended' | 'told' | 'climbed' | 'again'> {
  fault(fault: Fault): void;
}

export class WhepEngine implements Engine {
  #source: Source | null = null;
  #link: Link | null = null;
  #pausedSince: number | null = null;
  /** How late the picture was when it was paused. */
  #delay_ms: number | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: WhepEvents,
  ) {
    addEventListener('pagehide', this.#onPageHide);
  }

  static supported(): boolean {
    return 'RTCPeerConnection' in globalThis;
  }

  load(source: Source): void {
    this.#source = source;
    this.#connect();
  }

  unload(): void {
    this.#source = null;
    this.#disconnect();
  }

  destroy(): void {
    this.unload();
    removeEventListener('pagehide', this.#onPageHide);
  }

  /** It always is, unless it was let go in a long pause. */
  goLive(): void {
    this.#pausedSince = null;
    if (this.#link === null) this.#connect();
  }

  comes(): boolean {
    return this.#link?.comes(performance.now()) ?? false;
  }

  tick(now: number, context: Context): Stats {
    const { video } = this;
    const link = this.#link;
    this.#pausedSince = video.paused && !context.following ? (this.#pausedSince ?? now) : null;
    const fault = link?.watch(now, context.expecting && this.#pausedSince === null);
    if (link && fault) this.#tell(link, fault);
    if (this.#pausedSince === null) this.#delay_ms = this.#smoothed(link?.delay(now, context.serverNow) ?? null);
    else if (now - this.#pausedSince > PAUSED_MAX_MS) this.#disconnect();
    const paused_ms = this.#pausedSince === null ? 0 : now - this.#pausedSince;
    return {
      protocol: 'webrtc',
      delay_ms: this.#delay_ms === null ? null : this.#delay_ms + paused_ms,
      late_ms: paused_ms,
      picture: video.videoWidth > 0 ? { width: video.videoWidth, height: video.videoHeight, fps: link?.fps() ?? null } : null,
    };
  }

  #connect(): void {
    this.#disconnect();
    if (!this.#source?.whep) return;
    this.#delay_ms = null;
    const link = linkTo(this.#source.whep, this.video);
    if (link === null) {
      setTimeout(() => this.#source && this.events.fault('browser'));
      return;
    }
    this.#link = link;
    link.open().then(
      () => this.#link === link && this.#attach(link),
      (error: unknown) => this.#tell(link, faultOf(error)),
    );
  }

  #attach(link: Link): void {
    link.show();
    this.events.attached();
  }

  #disconnect(): void {
    const link = this.#link;
    if (!link) return;
    this.#link = null;
    this.events.detaching();
    link.close();
    this.video.srcObject = null;
  }

  /** Later, and once: what follows lets go of the link. */
  #tell(link: Link, fault: Fault): void {
    setTimeout(() => {
      if (this.#link === link) this.events.fault(fault);
    });
  }

  #smoothed(delay_ms: number | null): number | null {
    if (delay_ms === null || this.#delay_ms === null) return delay_ms ?? this.#delay_ms;
    return this.#delay_ms + (delay_ms - this.#delay_ms) * SMOOTHING;
  }

  #onPageHide = (): void => void this.#link?.leave();
}

/** One connection. */
class Link {
  readonly #ready = take();
  readonly #connection = this.#ready.connection;
  readonly #stream = new MediaStream();
  #session: string | null = null;
  #closed = false;
  #answeredAt: number | null = null;
  #connectedAt: number | null = null;
  #broken = false;
  #dueSince: number | null = null;
  #shown = false;
  /** From its arrival until it stands on the screen, of the latest pictures. */
  #shownAfter_ms: number | null = null;
  #before: Reading | null = null;
  #reading: Reading | null = null;
  #asking = false;
  readonly #reserve = new Reserve();
  #toldAt = performance.now();
  /** When something new came last, and a picture. */
  #mediaAt: number | null = null;
  #pictureAt: number | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly address: string,
  ) {
    const connection = this.#connection;
    connection.ontrack = ({ track }) => this.#stream.addTrack(track);
    connection.onconnectionstatechange = () => {
      const { connectionState } = connection;
      if (connectionState === 'connected') this.#connectedAt ??= performance.now();
      this.#broken ||= connectionState === 'failed' || connectionState === 'closed';
    };
  }

  async open(): Promise<void> {
    const offered = await this.#ready.sdp;
    if (this.#closed) return;
    const answered = await offer(this.address, offered);
    if (this.#closed) return end(answered.session);
    this.#session = answered.session;
    await connect(this.#connection, offered, answered);
    this.#answeredAt = performance.now();
    // A server that takes its leave is heard here; the connection itself would go on asking for it.
    const transport = this.#connection.getReceivers()[0]?.transport;
    transport?.addEventListener('statechange', () => (this.#broken ||= transport.state === 'closed' || transport.state === 'failed'));
  }

  show(): void {
    this.video.srcObject = this.#stream;
    this.video.requestVideoFrameCallback?.((_, frame) => {
      if (this.#closed) return;
      this.#shown = true;
      this.#mediaAt = this.#pictureAt = performance.now();
      this.#onFrame(frame);
    });
  }

  #onFrame({ expectedDisplayTime, receiveTime }: VideoFrameCallbackMetadata): void {
    if (this.#closed) return;
    if (receiveTime !== undefined) {
      const after_ms = expectedDisplayTime - receiveTime;
      this.#shownAfter_ms = (this.#shownAfter_ms ?? after_ms) * (1 - SMOOTHING_EACH) + after_ms * SMOOTHING_EACH;
    }
    this.video.requestVideoFrameCallback((_, frame) => this.#onFrame(frame));
  }

  /** The server need not wait for our silence. A page that is left says everything at once, and nothing more. */
  async leave(isLeft = true): Promise<void> {
    const session = this.#session;
    this.#session = null;
    if (session === null || this.#broken) return;
    const told = this.#reading && tellSeen(session, this.#reading.seen);
    // Of a session that is ended nothing can be told.
    if (!isLeft) await told;
    await end(session);
  }

  /** What is closed first tells the server as well, which then knows of no session to be ended. */
  close(): void {
    this.#closed = true;
    void this.leave(false).then(() => this.#connection.close());
  }

  fps(): number | null {
    return this.#reading?.fps ?? null;
  }

  comes(now: number): boolean {
    return this.#shown && this.#mediaAt !== null && now - this.#mediaAt < STILL_MS;
  }

  delay(now: number, serverNow: number | null): number | null {
    const [before, reading] = [this.#before, this.#reading];
    if (!reading || !this.#shown) return null;
    const then = serverNow === null ? null : serverNow - (now - reading.at);
    const held_ms = before && heldFor(before, reading);
    return delayOf(credibleDelay(then, reading.taken_ms), this.#shownAfter_ms, held_ms, reading.way_ms);
  }

  /** Called every tick; tells what is wrong. `due` says that pictures should come. */
  watch(now: number, due: boolean): Fault | null {
    void this.#read();
    if (this.#broken) return this.#connectedAt === null ? 'unreachable' : 'lost';
    if (this.#answeredAt === null) return null;
    if (this.#connectedAt === null) return now - this.#answeredAt > CONNECTED_MS ? 'unreachable' : null;
    // An outage of the publisher says nothing about this connection.
    this.#dueSince = due ? (this.#dueSince ?? now) : null;
    if (this.#dueSince === null) return null;
    const since = Math.max(this.#dueSince, this.#connectedAt);
    if (this.#mediaAt === null || this.#pictureAt === null) return now - since > PICTURED_MS ? 'stalled' : null;
    if (now - Math.max(since, this.#mediaAt) > SILENT_MS) return 'stalled';
    return now - Math.max(since, this.#pictureAt) > SILENT_MS ? 'media' : null;
  }

  async #read(): Promise<void> {
    if (this.#asking || this.#answeredAt === null) return;
    this.#asking = true;
    const report = await this.#connection.getStats();
    this.#asking = false;
    if (this.#closed) return;
    const reading = readingOf(performance.now(), report.values());
    if (this.#session !== null && reading.at - this.#toldAt > TELL_MS) {
      this.#toldAt = reading.at;
      void tellSeen(this.#session, reading.seen);
    }
    this.#hold(this.#reserve.take(reading));
    const before = this.#reading;
    this.#before = before;
    this.#reading = reading;
    this.#shown ||= reading.frames > 0;
    if (reading.packets > (before?.packets ?? 0)) this.#mediaAt = reading.at;
    // Where no pictures are sent, as of a screen on which nothing moves, none is missing.
    const decoded = reading.frames > (before?.frames ?? 0);
    const idle = before !== null && this.#shown && reading.picturePackets === before.picturePackets;
    if (decoded || idle) this.#pictureAt = reading.at;
  }

  /** Sound as well, which would run ahead. */
  #hold(reserve_ms: number): void {
    const target = reserve_ms === 0 ? null : reserve_ms;
    for (const receiver of this.#connection.getReceivers()) {
      if (receiver.jitterBufferTarget !== target) receiver.jitterBufferTarget = target;
    }
  }
}

/** Null where the browser's owner has forbidden it. */
function linkTo(address: string, video: HTMLVideoElement): Link | null {
  try {
    return new Link(video, address);
  } catch {
    return null;
  }
}

export function faultOf(error: unknown): Fault {
  if (!(error instanceof Refused)) return 'refused';
  switch (error.code) {
    case 'b_frames':
    case 'codec':
    case 'keyframe_old':
      return error.code;
    case 'too_many':
      return 'full';
    case 'not_live':
      return 'over';
    default:
      return 'refused';
  }
}
