//! One's own channel as the studio's pages see it: what the server said last, asked again every two seconds.

import { ApiFailure, getChannel, type Channel, type ChannelAnswer, type Stream } from '../api';
import { getBroadcasts, type PastBroadcast } from '../api/channel';
import { ServerClock } from '../clock';
import { poll, type Poller } from '../poll';

const POLL_MS = 2_000;
const POLL_HIDDEN_MS = 10_000;
const SECOND_MS = 1_000;

export class Desk {
  answer = $state.raw<ChannelAnswer | null>(null);
  failure = $state.raw<ApiFailure | null>(null);
  /** What was on until just now, once the server has noted how it ended. */
  ended = $state.raw<PastBroadcast | null>(null);
  #now = $state(performance.now());
  readonly #clock = new ServerClock();
  #poller: Poller | undefined;
  /** The broadcast whose end has not been explained yet. */
  #unexplained: string | null = null;

  /** `handle` is asked for anew each time: the channel may be renamed under our hands. */
  constructor(private readonly handle: () => string) {}

  get channel(): Channel | null {
    return this.answer?.channel ?? null;
  }

  get stream(): Stream | null {
    return this.answer?.live ?? null;
  }

  get serverNow(): number {
    return this.#clock.now(this.#now) ?? Date.now();
  }

  clockNow(): number | null {
    return this.#clock.now(performance.now());
  }

  /** What the server just said of the channel, before it is asked again. */
  became(channel: Channel): void {
    if (this.answer) this.answer = { ...this.answer, channel };
    this.#poller?.now();
  }

  /** Something was done to the broadcast; see at once what came of it. */
  look(): void {
    this.#poller?.now();
  }

  /** Looks until the returned function is called. */
  watch(): () => void {
    this.#poller = poll((signal) => this.#ask(signal), {
      interval_ms: () => POLL_MS,
      hidden_interval_ms: POLL_HIDDEN_MS,
      timeout_ms: 8_000,
      backoff: { base_ms: 1_000, max_ms: 10_000, factor: 1.7, jitter: 0.3 },
    });
    const second = setInterval(() => (this.#now = performance.now()), SECOND_MS);
    return () => {
      this.#poller?.stop();
      clearInterval(second);
    };
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      const { body, sent_at, received_at } = await getChannel(this.handle(), signal);
      this.#clock.observe(body.server_time_ms, sent_at, received_at);
      this.#now = performance.now();
      if (body.live) this.ended = null;
      this.#unexplained = body.live ? null : (this.stream?.broadcast_id ?? this.#unexplained);
      this.answer = body;
      this.failure = null;
      if (this.#unexplained) await this.#explain(this.#unexplained);
    } catch (error) {
      this.failure = error instanceof ApiFailure ? error : new ApiFailure(0, null);
      throw error;
    }
  }
  /** The history is written a moment after the end; until then the next look asks again. */
  async #explain(broadcast: string): Promise<void> {
    const newest = await getBroadcasts(this.handle(), null);
    const found = newest.find((one) => one.id === broadcast && one.ended_at !== null);
    if (!found) return;
    this.ended = found;
    this.#unexplained = null;
  }
}
