import { ApiFailure, send } from '../api';
import { Connection } from './connection';
import type { Broadcast, Danmaku, ErrorCode, Heard, Person } from './protocol';

/** What the column keeps; older lines leave. */
const LINES_MAX = 300;
/** A token is asked for again when this much of its time is left. */
const AHEAD_MS = 120_000;
/** A refused or unreachable token is asked for again after this. */
const TOKEN_AGAIN_MS = 15_000;
/** How long an own danmaku may go without an answer before it is given back. */
const ANSWER_MS = 8_000;

/** Why nothing came of what was sent. */
export type Refusal = ErrorCode | 'unsent';

export interface Line extends Danmaku {
  own: boolean;
}

interface RoomToken {
  token: string;
  until: string;
}

interface Hooks {
  /** Something to show over the picture. History is not. */
  shown(danmaku: Danmaku, own: boolean): void;
  deleted(p: number): void;
}

/** A channel's room as its page shows it. */
export class RoomChat {
  lines = $state.raw<readonly Line[]>([]);
  connected = $state(false);
  /** It was connected once: what is not now is a break, and not the beginning. */
  begun = $state(false);
  me = $state.raw<Person | null>(null);
  broadcast = $state.raw<Broadcast | null>(null);
  viewers = $state(0);
  likes = $state(0);
  textMax = $state(100);
  /** Unix milliseconds. */
  downSince = $state<number | null>(null);
  /** Danmaku that are not coming, since the page was opened. */
  missed = $state(0);

  readonly #connection: Connection;
  readonly #handle: string;
  readonly #hooks: Hooks;
  #wanted = false;
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;
  #nextId = 1;
  #waiting = new Map<number, (refusal: Refusal | null, retry_ms?: number) => void>();
  /** What stands before this on the chat lane was said before we came. */
  #live = 0;

  constructor(handle: string, hooks: Hooks) {
    this.#handle = handle;
    this.#hooks = hooks;
    this.#connection = new Connection(handle, {
      heard: (what) => this.#hear(what),
      connected: (is) => this.#onConnected(is),
      over: () => undefined,
    });
  }

  close(): void {
    clearTimeout(this.#tokenTimer);
    this.#connection.close();
  }

  /** Who is signed in speaks; who is not only reads. */
  speakAs(somebody: boolean): void {
    if (this.#wanted === somebody) return;
    this.#wanted = somebody;
    clearTimeout(this.#tokenTimer);
    if (somebody) void this.#authenticate();
    else this.me = null;
  }

  /** Gives why it was not said, or null. */
  send(text: string, mt: number | null): Promise<{ refusal: Refusal | null; retry_ms: number | undefined }> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const answer = (refusal: Refusal | null, retry_ms?: number): void => {
        clearTimeout(patience);
        this.#waiting.delete(id);
        resolve({ refusal, retry_ms });
      };
      const patience = setTimeout(() => answer('unsent'), ANSWER_MS);
      this.#waiting.set(id, answer);
      const said = this.#connection.say({ t: 'send', id, text, ...(mt === null ? {} : { mt }) });
      if (!said) answer('unsent');
    });
  }

  like(): void {
    this.#connection.say({ t: 'like' });
  }

  delete(p: number): void {
    this.#connection.say({ t: 'delete', id: this.#nextId++, of: p });
  }

  #onConnected(is: boolean): void {
    this.connected = is;
    if (is) {
      this.begun = true;
      if (this.#wanted) void this.#authenticate();
      return;
    }
    clearTimeout(this.#tokenTimer);
    for (const answer of [...this.#waiting.values()]) answer('unsent');
  }

  async #authenticate(): Promise<void> {
    if (!this.connected) return;
    try {
      const { token, until } = await send<RoomToken>('POST', `/api/v1/rooms/${encodeURIComponent(this.#handle)}/token`);
      if (!this.#wanted) return;
      this.#connection.say({ t: 'auth', token });
      this.#authenticateIn(Math.max(TOKEN_AGAIN_MS, Date.parse(until) - Date.now() - AHEAD_MS));
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      // Whoever was signed out elsewhere is told so by the session.
      if (error.code !== 'not_signed_in') this.#authenticateIn(TOKEN_AGAIN_MS);
    }
  }

  #authenticateIn(ms: number): void {
    clearTimeout(this.#tokenTimer);
    this.#tokenTimer = setTimeout(() => void this.#authenticate(), ms);
  }

  #hear(heard: Heard): void {
    switch (heard.t) {
      case 'welcome':
        this.broadcast = heard.broadcast;
        this.viewers = heard.viewers;
        this.likes = heard.likes;
        this.textMax = heard.text_max;
        this.downSince = heard.chat_down_since_ms;
        this.#live = heard.lanes.chat.p;
        break;
      case 'danmaku':
        this.#add(heard);
        break;
      case 'deleted':
        this.lines = this.lines.filter((line) => line.p !== heard.of);
        this.#hooks.deleted(heard.of);
        break;
      case 'broadcast':
        this.broadcast = heard.state === 'ended' ? null : heard;
        break;
      case 'clock':
        if (this.broadcast?.b === heard.b) this.broadcast = { ...this.broadcast, zero_ms: heard.zero_ms };
        break;
      case 'count':
        this.viewers = heard.viewers;
        this.likes = heard.likes;
        break;
      case 'degraded':
        this.downSince = heard.chat_since_ms;
        break;
      case 'gap':
        if (heard.l === 'chat') this.missed += heard.to - heard.from;
        break;
      case 'you':
        this.me = heard.person;
        break;
      case 'ack':
        this.#waiting.get(heard.id)?.(null);
        break;
      case 'error':
        if (heard.id !== undefined) this.#waiting.get(heard.id)?.(heard.code, heard.retry_ms);
        else if (heard.code === 'bad_token' && this.#wanted) this.#authenticateIn(TOKEN_AGAIN_MS);
        break;
    }
  }

  #add(danmaku: Danmaku): void {
    const own = danmaku.by.id === this.me?.id;
    this.lines = [...this.lines, { ...danmaku, own }].slice(-LINES_MAX);
    if (danmaku.p >= this.#live) this.#hooks.shown(danmaku, own);
  }
}
