//! Plays in the best way for as long as that goes, and else in the next one: which, `ladder.ts` decides.

import type { Delay } from './delay';
import type { Context, Engine, EngineEvents, Source, Stats } from './engine';
import { newLadder, onFault, onShown, type Fault, type FlvTransport, type Ladder, type Rung } from './ladder';
import { forgetShut, rememberShut, wasShut } from './shut';
import { WhepEngine } from './whep-engine';
import { Probe } from './whep-probe';

type OpenStandard = (video: HTMLVideoElement, events: EngineEvents) => Promise<Engine | null>;

/** Where WebRTC shows nothing for this long, it may be that LL-HLS is needed; its code is fetched meanwhile. */
const DOUBTFUL_MS = 1_000;

export class LadderEngine implements Engine {
  #source: Source | null = null;
  #ladder: Ladder = newLadder('standard');
  #current: Engine | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Under way while LL-HLS plays because WebRTC did not get through. */
  #probe: Probe | null = null;

  constructor(
    private readonly first: Exclude<Delay, 'standard'>,
    private readonly video: HTMLVideoElement,
    private readonly events: EngineEvents,
    private readonly openStandard: OpenStandard,
  ) {
    addEventListener('online', this.#onOnline);
  }

  load(source: Source): void {
    this.#source = source;
    const first = this.#firstRung(source);
    const shut = first === 'webrtc' && wasShut();
    this.#ladder = newLadder(shut ? 'standard' : first);
    this.#open(source);
    if (shut) this.#tryAgain(source);
  }

  unload(): void {
    this.#source = null;
    this.#close();
  }

  destroy(): void {
    this.unload();
    removeEventListener('online', this.#onOnline);
  }

  goLive(): void {
    this.#current?.goLive();
  }

  comes(): boolean | null {
    return this.#current?.comes?.() ?? null;
  }

  tick(now: number, context: Context): Stats {
    if (context.moving && this.#ladder.shownSince === null) this.#onShown(now);
    return this.#current?.tick(now, context) ?? { protocol: protocolOf(this.#ladder.rung), delay_ms: null, late_ms: 0, picture: null };
  }

  mediaTime(): number | null {
    return this.#current?.mediaTime?.() ?? null;
  }

  /** A server without WebRTC is no trouble that anybody is told of. */
  #firstRung(source: Source): Rung {
    if (this.first === 'low') return 'ws-flv';
    return source.whep === undefined ? 'standard' : 'webrtc';
  }

  #open(source: Source): void {
    this.#close();
    const { rung } = this.#ladder;
    switch (rung) {
      case 'standard':
        return void this.#openStandard(source);
      case 'webrtc':
        return this.#openWebrtc(source);
      case 'ws-flv':
      case 'http-flv':
        return void this.#openFlv(source, rung);
    }
  }

  #openWebrtc(source: Source): void {
    if (!WhepEngine.supported()) return this.#onFault('browser');
    this.#play(new WhepEngine(this.video, this.#events()), source);
    if (this.#ladder.worked) return;
    this.#timer = setTimeout(() => void import('./hls-engine').catch(() => undefined), DOUBTFUL_MS);
  }

  async #openFlv(source: Source, transport: FlvTransport): Promise<void> {
    const ladder = this.#ladder;
    const here = (): boolean => this.#source === source && this.#ladder === ladder;
    try {
      const { FlvEngine } = await import('./flv-engine');
      if (here()) this.#play(new FlvEngine(this.video, this.#events(), transport), source);
    } catch {
      if (here()) this.#onFault('refused');
    }
  }

  async #openStandard(source: Source): Promise<void> {
    let engine: Engine | null;
    try {
      engine = await this.openStandard(this.video, this.events);
    } catch {
      // The slate that is shown then offers another attempt.
      if (this.#source === source) this.events.failed('network');
      return;
    }
    if (this.#source !== source || this.#ladder.rung !== 'standard') return;
    if (engine) this.#play(engine, source);
    else this.events.failed('unsupported');
  }

  #play(engine: Engine, source: Source): void {
    this.#current = engine;
    engine.load(source);
  }

  #events(): EngineEvents & { fault(fault: Fault): void } {
    return { ...this.events, fault: (fault) => this.#onFault(fault) };
  }

  #onShown(now: number): void {
    this.#ladder = onShown(this.#ladder, now);
    if (this.#ladder.rung === 'webrtc') forgetShut();
  }

  /** Finds out, while LL-HLS plays, whether WebRTC gets through by now; if so, it takes over, and else the viewer is told. */
  #tryAgain(source: Source): void {
    if (source.whep === undefined || !WhepEngine.supported()) return;
    this.#probe?.stop();
    try {
      this.#probe = new Probe(source.whep, (fault) => {
        this.#probe = null;
        if (fault === null) return this.#climb(source);
        if (fault === 'unreachable') rememberShut();
        // Where nobody is live, the room will hear of it.
        if (fault !== 'over') this.events.told({ from: 'webrtc', to: 'standard', why: fault });
      });
    } catch {
      // WebRTC was forbidden since; LL-HLS it is.
    }
  }

  #climb(source: Source): void {
    forgetShut();
    this.#ladder = newLadder('webrtc');
    this.events.climbed();
    this.#open(source);
  }

  /** Another network may let through what the last one did not. */
  #onOnline = (): void => {
    if (this.#source !== null && this.#ladder.rung === 'standard' && wasShut()) this.#tryAgain(this.#source);
  };

  #close(): void {
    this.#probe?.stop();
    this.#probe = null;
    clearTimeout(this.#timer);
    this.#current?.destroy();
    this.#current = null;
  }

  #onFault(fault: Fault): void {
    const source = this.#source;
    if (source === null) return;
    const step = onFault(this.#ladder, performance.now(), fault);
    this.#ladder = step.ladder;
    if (step.descent?.why === 'unreachable') rememberShut();
    if (step.descent) this.events.descended(step.descent);
    if (step.descent || step.pause_ms === 0) return this.#open(source);
    this.#close();
    this.events.again();
    this.#timer = setTimeout(() => this.#open(source), step.pause_ms);
  }
}

function protocolOf(rung: Rung): Stats['protocol'] {
  return rung === 'standard' ? 'hls' : rung;
}
