//! Plays with low delay for as long as that goes, and else with the standard one: which, `ladder.ts` decides.

import type { Context, Engine, EngineEvents, Source, Stats } from './engine';
import { FlvEngine } from './flv-engine';
import { newLadder, onFault, onShown, type FlvFault, type Ladder } from './ladder';

type OpenStandard = (video: HTMLVideoElement, events: EngineEvents) => Promise<Engine | null>;

/** Until the engine of the standard delay is there. */
const NOTHING_YET: Stats = { protocol: 'hls', delay_ms: null, late_ms: 0, picture: null };

export class LowDelayEngine implements Engine {
  #source: Source | null = null;
  #ladder: Ladder = newLadder();
  #current: Engine | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: EngineEvents,
    private readonly openStandard: OpenStandard,
  ) {}

  load(source: Source): void {
    this.#source = source;
    this.#ladder = newLadder();
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

  tick(now: number, context: Context): Stats {
    if (context.moving) this.#ladder = onShown(this.#ladder, now);
    return this.#current?.tick(now, context) ?? NOTHING_YET;
  }

  mediaTime(): number | null {
    return this.#current?.mediaTime?.() ?? null;
  }

  #open(source: Source): void {
    this.#close();
    const { rung } = this.#ladder;
    if (rung === 'standard') {
      void this.#openStandard(source);
      return;
    }
    const engine = new FlvEngine(this.video, { ...this.events, fault: (fault) => this.#onFault(fault) }, rung);
    this.#current = engine;
    engine.load(source);
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
    this.#current = engine;
    if (engine) engine.load(source);
    else this.events.failed('unsupported');
  }

  #close(): void {
    this.#current?.destroy();
    this.#current = null;
  }

  #onFault(fault: FlvFault): void {
    if (this.#source === null) return;
    const [ladder, descent] = onFault(this.#ladder, performance.now(), fault);
    this.#ladder = ladder;
    if (descent) this.events.descended(descent);
    this.#open(this.#source);
  }
}
