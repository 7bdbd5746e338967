//! The server's wall clock as seen from here, so that a viewer's wrong clock does not falsify the delay.
//! Pure: the local monotonic time is passed in.

interface Sample {
  offset_ms: number;
  round_trip_ms: number;
  at: number;
}

/** A sample older than this no longer counts: the local clock may have slept. */
const SAMPLE_AGE_MAX_MS = 90_000;
const SAMPLES_MAX = 16;

export class ServerClock {
  #samples: Sample[] = [];

  observe(serverTimeMs: number, sentAt: number, receivedAt: number): void {
    if (!Number.isFinite(serverTimeMs) || serverTimeMs <= 0) return;
    this.#samples = this.#samples.filter((sample) => receivedAt - sample.at <= SAMPLE_AGE_MAX_MS);
    this.#samples.push({
      offset_ms: serverTimeMs - (sentAt + receivedAt) / 2,
      round_trip_ms: receivedAt - sentAt,
      at: receivedAt,
    });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** Unix milliseconds on the server, by the sample with the shortest round trip; null before the first answer. */
  now(localNow: number): number | null {
    let best: Sample | undefined;
    for (const sample of this.#samples) {
      if (!best || sample.round_trip_ms < best.round_trip_ms) best = sample;
    }
    return best ? localNow + best.offset_ms : null;
  }
}
