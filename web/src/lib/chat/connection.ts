import { backoffDelay, type Backoff } from '../backoff';
import { Places } from './places';
import { SUBPROTOCOL, type At, type Heard, type Said } from './protocol';

export interface ConnectionEvents {
  heard(what: Heard): void;
  /** Whether what is said now goes anywhere. */
  connected(is: boolean): void;
  /** The room will not have us back. */
  over(code: number): void;
}

const AGAIN: Backoff = { base_ms: 1_000, max_ms: 30_000, factor: 2, jitter: 1 };
/** Codes from here on ask for a longer absence. */
const LATER = 4300;
const LATER_MS = 60_000;
/** What the client did wrong by the rules of WebSocket itself. */
const FINAL: ReadonlySet<number> = new Set([1002, 1007, 1009]);

/** A connection to a room that comes back by itself, and hears what it missed. */
export class Connection {
  readonly #places: Places;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #closed = false;
  readonly #handle: string;
  readonly #events: ConnectionEvents;

  /** `money` is from where its gifts are heard again. */
  constructor(handle: string, events: ConnectionEvents, money: At | null) {
    this.#handle = handle;
    this.#places = new Places(money);
    this.#events = events;
    addEventListener('online', this.#now);
    this.#open();
  }

  /** False if it goes nowhere. */
  say(what: Said): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(what));
    return true;
  }

  close(): void {
    this.#closed = true;
    removeEventListener('online', this.#now);
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** The network is back: nobody waits for the next attempt. */
  readonly #now = (): void => {
    if (this.#socket || this.#closed) return;
    clearTimeout(this.#timer);
    this.#open();
  };

  #open(): void {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.search = new URLSearchParams({ room: this.#handle, since: String(this.#places) }).toString();
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    socket.onmessage = (event: MessageEvent<string>) => {
      for (const heard of JSON.parse(event.data) as Heard[]) {
        if (heard.t === 'welcome') this.#failures = 0;
        if (this.#places.note(heard)) this.#events.heard(heard);
        if (heard.t === 'welcome') this.#events.connected(true);
      }
    };
    socket.onclose = ({ code }) => this.#onClose(code);
  }

  #onClose(code: number): void {
    this.#socket = null;
    this.#events.connected(false);
    if (this.#closed) return;
    if (FINAL.has(code)) {
      this.#events.over(code);
      return;
    }
    this.#failures += 1;
    const wait = code >= LATER && code < 5000 ? LATER_MS : backoffDelay(AGAIN, this.#failures, Math.random());
    this.#timer = setTimeout(() => this.#open(), wait);
  }
}
