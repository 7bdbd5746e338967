//! Asks again and again: one request at a time, backing off with jitter while it fails, quiet while the page is hidden.

import { backoffDelay, withJitter, type Backoff } from './backoff';

export interface PollOptions {
  /** Pause after a success, asked anew each time. */
  interval_ms: () => number;
  /** Pause while the page is hidden; null stops until it is seen again. */
  hidden_interval_ms: number | null;
  timeout_ms: number;
  backoff: Backoff;
}

export interface Poller {
  /** Asks at once; after a request that is already under way, once more. */
  now(): void;
  stop(): void;
}

const INTERVAL_JITTER = 0.1;

/** `ask` rejects when it failed; it has told its owner itself. */
export function poll(ask: (signal: AbortSignal) => Promise<void>, options: PollOptions): Poller {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let request: AbortController | null = null;
  let failures = 0;
  let again = false;
  let stopped = false;

  const schedule = (): void => {
    if (stopped) return;
    let delay =
      failures > 0
        ? backoffDelay(options.backoff, failures, Math.random())
        : withJitter(options.interval_ms(), INTERVAL_JITTER, Math.random());
    if (document.hidden) {
      if (options.hidden_interval_ms === null) return;
      delay = Math.max(delay, options.hidden_interval_ms);
    }
    timer = setTimeout(run, delay);
  };

  const run = async (): Promise<void> => {
    if (stopped || request) return;
    clearTimeout(timer);
    again = false;
    const controller = new AbortController();
    request = controller;
    const deadline = setTimeout(() => controller.abort(), options.timeout_ms);
    try {
      await ask(controller.signal);
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      clearTimeout(deadline);
      request = null;
      if (again) void run();
      else schedule();
    }
  };

  const onVisibility = (): void => {
    if (!document.hidden) void run();
  };
  const onOnline = (): void => void run();

  document.addEventListener('visibilitychange', onVisibility);
  addEventListener('online', onOnline);
  void run();

  return {
    now() {
      // What is under way may have been answered before what one wants to hear of.
      if (request) again = true;
      else void run();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
      request?.abort();
      document.removeEventListener('visibilitychange', onVisibility);
      removeEventListener('online', onOnline);
    },
  };
}
