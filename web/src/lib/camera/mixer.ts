//! Microphone and the sound of a screen in one track, and how loud that is.

import { levelOf } from './level';

export type Input = 'microphone' | 'screen';

/** About a twentieth of a second. */
const SAMPLES = 2_048;

export class Mixer {
  readonly #context = new AudioContext();
  readonly #out = this.#context.createMediaStreamDestination();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples = new Float32Array(SAMPLES);
  readonly #inputs = new Map<Input, { track: MediaStreamTrack; node: AudioNode }>();

  constructor() {
    this.#analyser.fftSize = SAMPLES;
  }

  /** What is sent; silent while nothing comes in. */
  get track(): MediaStreamTrack | null {
    return this.#out.stream.getAudioTracks()[0] ?? null;
  }

  has(input: Input): boolean {
    return this.#inputs.has(input);
  }

  put(input: Input, track: MediaStreamTrack | null): void {
    const before = this.#inputs.get(input);
    before?.node.disconnect();
    before?.track.stop();
    this.#inputs.delete(input);
    if (track === null) return;
    const node = this.#context.createMediaStreamSource(new MediaStream([track]));
    node.connect(this.#out);
    node.connect(this.#analyser);
    this.#inputs.set(input, { track, node });
    // A page that nobody has touched yet begins with it suspended.
    void this.#context.resume();
  }

  level(): number {
    if (this.#inputs.size === 0) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return levelOf(this.#samples);
  }

  close(): void {
    for (const input of [...this.#inputs.keys()]) this.put(input, null);
    this.track?.stop();
    void this.#context.close();
  }
}
