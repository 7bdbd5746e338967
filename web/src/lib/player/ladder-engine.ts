//! Plays in the best way for as long as that goes, and else in the next one: which, `ladder.ts` decides.

import type { Delay } from './delay';
import type { Context, Engine, EngineEvents, Source, Stats } from './engine';
import { newLadder, onFault, onShown, type Fault, type FlvTransport, type Ladder, type Rung } from './ladder';
import { WhepEngine } from './whep-engine';

type OpenStandard = (video: HTMLVideoElement, events: EngineEvents) => Promise<Engine | null>;

/** Where WebRTC shows nothing for this long, it may be that LL-HLS is needed; its code is fetched meanwhile. */
const DOUBTFUL_MS = 1_000;

export class LadderEngine implements Engine {
  #source: Source | null = null;
  #ladder: Ladder = newLadder('standard');
  #current: Engine | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly first: Exclude<Delay, 'standard'>,
    private readonly video: HTMLVideoElement,
    private readonly events: EngineEvents,
    private readonly openStandard: OpenStandard,
  ) {}

  load(source: Source): void {
    this.#source = source;
    this.#ladder = newLadder(this.#firstRung(source));
    this.#open(source);
  }

  unload(): void {
    this.#source = null;
    this.#close();
  }

  destroy(): void {
    this.unload();
  }

  goLive(): void {
    this.#current?.goLive();
  }

  comes(): boolean | null {
    return this.#current?.comes?.() ?? null;
  }

  tick(now: number, context: Context): Stats {
    if (context.moving) this.#ladder = onShown(this.#ladder, now);
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

  #close(): void {
    clearTimeout(this.#timer);
    this.#current?.destroy();
    this.#current = null;
  }

  #onFault(fault: Fault): void {
    const source = this.#source;
    if (source === null) return;
    const step = onFault(this.#ladder, performance.now(), fault);
    this.#ladder = step.ladder;
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
