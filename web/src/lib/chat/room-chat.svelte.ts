import { ApiFailure, get, send } from '../api';
import { begun, grown, without, type Given } from '../gifts/gathered';
import { Giving } from '../gifts/giving.svelte';
import { purse } from '../gifts/purse.svelte';
import { parsePlace, Recent } from '../gifts/recent';
import { keep, kept } from '../kept';
import { blockList } from './block-list.svelte';
import { Connection } from './connection';
import type { Emote } from './emotes';
import { Lines } from './lines';
import { markOf, type Mark } from './mark';
import { People } from './people';
import type { News } from './news';
import type { At, Broadcast, Danmaku, ErrorCode, GiftItem, GiveRefusal, Heard, Look, Mode, Person, SentDanmaku, Size } from './protocol';

/** What the column keeps; older lines leave. */
const LINES_MAX = 1_000;
/** The column changes no oftener than this, however much is said. */
const COLUMN_MS = 100;
/** A token is asked for again when this much of its time is left. */
const AHEAD_MS = 120_000;
/** A refused or unreachable token is asked for again after this. */
const TOKEN_AGAIN_MS = 15_000;
/** The pages of a room do not all ask at the same time for emotes that have changed. */
const EMOTES_MS = 3_000;
/** How long it is shown who came. */
const NEWS_MS = 6_000;
/** How long an own danmaku may go without an answer before it is given back. */
const ANSWER_MS = 8_000;
/** Of so many gifts it is remembered that they were shown. */
const GIFTS_KNOWN = 2_000;
/** Combos whose line may still grow. */
const COMBOS_KNOWN = 200;
const PINS_MAX = 50;

const AS_MOST: Look = { mode: 'scroll', size: 'normal', colour: 0xffffff };

/** Why nothing came of what was sent. */
export type Refusal = ErrorCode | 'unsent';

export interface Line extends Danmaku {
  /** In the order in which they came, of whatever epoch. */
  key: number;
  /** It is a gift; what is said with it is the text. */
  gift?: Given;
}

/** A super chat above the column. */
export interface Pin {
  line: Line & { gift: Given };
  /** Unix milliseconds of this browser's clock. */
  from: number;
  until: number;
}

/** What somebody says, before the room has it. */
export interface Saying {
  text: string;
  mode: Mode;
  size: Size;
  colour: number;
  mt: number | null;
  /** The place of what is answered. */
  reply: number | null;
}

interface RoomToken {
  token: string;
  until: string;
}

type Listener = (line: Line, mark: Mark) => void;

interface Hooks {
  /** Something to show over the picture. History is not. */
  shown(line: Line, mark: Mark): void;
  deleted(p: number): void;
  /** A gift, or one more of a combo under the same key. `at` is when, by this browser's clock. */
  gifted?(line: Line & { gift: Given }, at: number): void;
  takenBack?(key: number): void;
}

/** A channel's room as its page shows it. */
export class RoomChat {
  lines = $state.raw<readonly Line[]>([]);
  /** New ones that wait because somebody reads further up. */
  unread = $state(0);
  connected = $state(false);
  /** It was connected once: what is not now is a break, and not the beginning. */
  begun = $state(false);
  /** It was tried in vain. */
  failing = $state(false);
  me = $state.raw<Person | null>(null);
  broadcast = $state.raw<Broadcast | null>(null);
  viewers = $state(0);
  likes = $state(0);
  textMax = $state(100);
  /** Unix milliseconds. */
  downSince = $state<number | null>(null);
  /** Danmaku that are not coming, since the page was opened. */
  missed = $state(0);
  /** How many the room passed on in the last second, and left out because it is so loud; null as long as it passes on all. */
  sampled = $state.raw<{ kept: number; dropped: number } | null>(null);
  /** What happened just now. */
  news = $state.raw<News | null>(null);
  /** How many follow the channel, as the room was told last; null if it was not. */
  followers = $state<number | null>(null);
  /** The channel's, for who may use them. */
  emotes = $state.raw<readonly Emote[]>([]);
  /** Super chats that are pinned, newest first. */
  pins = $state.raw<readonly Pin[]>([]);
  /** Unix milliseconds; gifts cannot be given since then. */
  giftsDownSince = $state<number | null>(null);
  readonly people = new People();
  readonly giving: Giving;

  readonly #connection: Connection;
  readonly handle: string;
  readonly #hooks: Hooks;
  readonly #column = new Lines<Line>(LINES_MAX, (line) => this.#hidden.has(line));
  #hidden = new WeakSet<Line>();
  #fresh: Line[] = [];
  #columnAt = 0;
  /** Something changed since the column was drawn. */
  #undrawn = false;
  #columnTimer: ReturnType<typeof setTimeout> | undefined;
  #emotesTimer: ReturnType<typeof setTimeout> | undefined;
  #newsTimer: ReturnType<typeof setTimeout> | undefined;
  #listeners = new Set<Listener>();
  #nextKey = 0;
  #wanted = false;
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;
  #nextId = 1;
  /** The next item of the mods' lane, for who hears it. */
  #mods: At | undefined;
  /** What stands before this on it happened before we came. */
  #modsLive = 0;
  #waiting = new Map<number, (refusal: Refusal | null, retry_ms?: number) => void>();
  /** What stands before this on the chat lane was said before we came. */
  #live = 0;
  /** Of the gifts that were given before we came, nothing is made over the picture. */
  #giftsLive = 0;
  #moneyEpoch: number | null = null;
  readonly #recent = new Recent();
  /** How far the server's clock is ahead of ours. */
  #ahead = 0;
  #giftsKnown = new Set<number>();
  /** The lines of combos, by what tells combos apart; the latest last. */
  #combos = new Map<string, Line & { gift: Given }>();

  constructor(handle: string, hooks: Hooks) {
    this.handle = handle;
    this.#hooks = hooks;
    const events = {
      heard: (what: Heard) => this.#hear(what),
      connected: (is: boolean) => this.#onConnected(is),
      over: () => undefined,
    };
    this.#connection = new Connection(handle, events, parsePlace(kept(`money.${handle}`)));
    this.giving = new Giving(handle, { say: (what) => this.#connection.say(what), nextId: () => this.#nextId++ });
  }

  close(): void {
    clearTimeout(this.#tokenTimer);
    clearTimeout(this.#columnTimer);
    clearTimeout(this.#emotesTimer);
    clearTimeout(this.#newsTimer);
    this.giving.broken();
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

  /** Hears what is said from now on, but what is blocked. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Somebody reads further up: the column stays as it is, but for what is deleted. */
  hold(held: boolean): void {
    this.#flush();
    this.#column.hold(held);
    this.#show();
  }

  /** What is blocked has changed. */
  sift(): void {
    this.#flush();
    this.#hidden = new WeakSet();
    for (const line of this.#column.all()) this.#judge(line);
    this.#column.sift();
    this.#show();
  }

  /** Gives why it was not said, or null. */
  send({ mt, reply, ...saying }: Saying): Promise<{ refusal: Refusal | null; retry_ms: number | undefined }> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const answer = (refusal: Refusal | null, retry_ms?: number): void => {
        clearTimeout(patience);
        this.#waiting.delete(id);
        resolve({ refusal, retry_ms });
      };
      const patience = setTimeout(() => answer('unsent'), ANSWER_MS);
      this.#waiting.set(id, answer);
      const about = { ...(mt === null ? {} : { mt }), ...(reply === null ? {} : { reply }) };
      const said = this.#connection.say({ t: 'send', id, ...saying, ...about });
      if (!said) answer('unsent');
    });
  }

  like(): void {
    this.#connection.say({ t: 'like' });
  }

  /** Tells the room that the channel is passed on. */
  share(): void {
    this.#connection.say({ t: 'share' });
  }

  delete(p: number): void {
    this.#connection.say({ t: 'delete', id: this.#nextId++, of: p });
  }

  #onConnected(is: boolean): void {
    this.connected = is;
    this.failing = !is;
    if (is) {
      this.begun = true;
      if (this.#wanted) void this.#authenticate();
      return;
    }
    clearTimeout(this.#tokenTimer);
    this.giving.broken();
    for (const answer of [...this.#waiting.values()]) answer('unsent');
  }

  async #authenticate(): Promise<void> {
    if (!this.connected) return;
    try {
      const { token, until } = await send<RoomToken>('POST', `/api/v1/rooms/${encodeURIComponent(this.handle)}/token`);
      if (!this.#wanted) return;
      this.#connection.say({ t: 'auth', token, ...(this.#mods && { mods: this.#mods }) });
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

  /** Without them nothing is missing but the pictures to choose from. */
  async #fetchEmotes(): Promise<void> {
    try {
      const { body } = await get<{ emotes: Emote[] }>(`/api/v1/channels/${encodeURIComponent(this.handle)}/emotes`);
      this.emotes = body.emotes;
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
    }
  }

  #hear(heard: Heard): void {
    switch (heard.t) {
      case 'welcome':
        this.broadcast = heard.broadcast;
        this.viewers = heard.viewers;
        this.likes = heard.likes;
        this.textMax = heard.text_max;
        this.downSince = heard.chat_down_since_ms;
        this.giftsDownSince = heard.gifting_down_since_ms ?? null;
        this.#ahead = heard.server_ms - Date.now();
        this.sampled = null;
        this.#live = heard.lanes.chat.p;
        this.#giftsLive = this.begun ? 0 : heard.lanes.money.p;
        if (this.#moneyEpoch !== heard.lanes.money.e) this.#recent.clear();
        this.#moneyEpoch = heard.lanes.money.e;
        break;
      case 'danmaku':
        this.#add(heard);
        break;
      case 'yours':
        this.#add(heard.item);
        break;
      case 'deleted':
        this.#delete(heard.of);
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
        this.sampled = heard.dropped ? { kept: heard.kept ?? 0, dropped: heard.dropped } : null;
        break;
      case 'emotes':
        if (!this.me) break;
        clearTimeout(this.#emotesTimer);
        this.#emotesTimer = setTimeout(() => void this.#fetchEmotes(), Math.random() * EMOTES_MS);
        break;
      case 'followed':
        this.followers = heard.followers;
        this.#tell({ of: 'followed', gathered: heard });
        break;
      case 'joined':
      case 'shared':
        this.#tell({ of: heard.t, gathered: heard });
        break;
      case 'removed':
        if (this.#mods) this.#mods = { ...this.#mods, p: heard.p + 1 };
        if (heard.p >= this.#modsLive) this.#tell({ of: 'removed', removed: heard });
        break;
      case 'degraded':
        this.downSince = heard.chat_since_ms;
        break;
      case 'gap':
        if (heard.l === 'chat' && !heard.sampled) this.missed += heard.to - heard.from;
        break;
      case 'you':
        if (heard.person && !this.me) void this.#fetchEmotes();
        this.me = heard.person;
        if (heard.person) this.giving.ready(heard.person.id);
        if (!heard.mods) break;
        // Who has been here hears what happened meanwhile as what it is: news.
        if (this.#mods?.e !== heard.mods.e) this.#modsLive = heard.mods.p;
        this.#mods = heard.mods;
        break;
      case 'gift':
        this.#addGift(heard);
        break;
      case 'taken_back':
        this.#takeBack(heard.of);
        break;
      case 'gifting':
        this.giftsDownSince = heard.down_since_ms;
        break;
      case 'wallet':
        purse.note(heard.wallet);
        break;
      case 'given':
        this.giving.hearGiven(heard.id, heard.wallet);
        break;
      case 'ack':
        this.#waiting.get(heard.id)?.(null);
        break;
      case 'error':
        if (heard.id !== undefined) {
          if (this.giving.hearRefused(heard.id, heard.code, heard.retry_ms)) {
            if (heard.code === 'not_signed_in' && this.#wanted) this.#authenticateIn(0);
          } else if (isOfChat(heard.code)) this.#waiting.get(heard.id)?.(heard.code, heard.retry_ms);
        } else if (heard.code === 'bad_token' && this.#wanted) this.#authenticateIn(TOKEN_AGAIN_MS);
        break;
    }
  }

  #tell(news: News): void {
    this.news = news;
    clearTimeout(this.#newsTimer);
    this.#newsTimer = setTimeout(() => (this.news = null), NEWS_MS);
  }

  #add(danmaku: SentDanmaku): void {
    const line: Line = { ...AS_MOST, ...danmaku, key: this.#nextKey++ };
    const mark = markOf(line, this.me);
    this.people.note(danmaku.by);
    this.#judge(line);
    this.#enter(line);
    if (danmaku.p < this.#live || this.#hidden.has(line)) return;
    this.#hooks.shown(line, mark);
    for (const listener of this.#listeners) listener(line, mark);
  }

  #enter(line: Line): void {
    this.#fresh.push(line);
    if (this.#fresh.length > LINES_MAX) this.#fresh.shift();
    this.#draw(line);
  }

  #draw(line: Line): void {
    this.#undrawn = true;
    const wait = markOf(line, this.me) === 'own' ? 0 : Math.max(0, this.#columnAt + COLUMN_MS - performance.now());
    this.#columnTimer ??= setTimeout(() => this.#flush(), wait);
  }

  #addGift(item: GiftItem): void {
    if (this.#giftsKnown.has(item.seq)) return;
    this.#giftsKnown.add(item.seq);
    shorten(this.#giftsKnown, GIFTS_KNOWN);
    const at = item.at - this.#ahead;
    this.#recent.note(item.p, item.pinned_ms ? at + item.pinned_ms : 0, Date.now());
    keep(`money.${this.handle}`, `${this.#moneyEpoch}:${this.#recent.from}`);
    this.people.note(item.by);
    const began = begun(item);
    const before = began.combo === null ? undefined : this.#combos.get(began.combo);
    const line = before ? { ...before, gift: grown(before.gift, item) } : this.#giftLine(item, began);
    this.#judge(line);
    if (began.combo !== null) {
      this.#combos.delete(began.combo);
      this.#combos.set(began.combo, line);
      shorten(this.#combos, COMBOS_KNOWN);
    }
    if (!before || !this.#replace(line)) this.#enter(line);
    if (this.#hidden.has(line)) return;
    if (item.pinned_ms) this.#pin(line, at, at + item.pinned_ms);
    if (item.p < this.#giftsLive) return;
    this.#hooks.gifted?.(line, at);
    for (const listener of this.#listeners) listener(line, markOf(line, this.me));
  }

  /** Its place is on another lane than what is said, and must not be taken for one there. */
  #giftLine({ by, text, at, l, seq }: GiftItem, gift: Given): Line & { gift: Given } {
    return { ...AS_MOST, t: 'danmaku', l, at, p: -1 - seq, by, text: text ?? '', gift, key: this.#nextKey++ };
  }

  #replace(line: Line): boolean {
    const at = this.#fresh.findIndex(({ key }) => key === line.key);
    if (at !== -1) this.#fresh[at] = line;
    else if (!this.#column.replace(line)) return false;
    else this.#draw(line);
    return true;
  }

  #pin(line: Line & { gift: Given }, from: number, until: number): void {
    const now = Date.now();
    this.pins = [{ line, from, until }, ...this.pins].filter((pin) => pin.until > now).slice(0, PINS_MAX);
  }

  /** What was pinned long enough leaves. */
  unpin(now: number): void {
    if (this.pins.some(({ until }) => until <= now)) this.pins = this.pins.filter(({ until }) => until > now);
  }

  #takeBack(seq: number): void {
    this.#flush();
    this.#giftsKnown.add(seq);
    this.pins = this.pins.filter(({ line }) => line.gift.parts.every((part) => part.seq !== seq));
    for (const line of this.#column.all()) {
      if (!line.gift?.parts.some((part) => part.seq === seq)) continue;
      const gift = without(line.gift, seq);
      if (line.gift.combo !== null) this.#combos.delete(line.gift.combo);
      if (gift === null) {
        this.#column.remove(line.p);
        this.#hooks.takenBack?.(line.key);
      } else {
        const less = { ...line, gift };
        this.#judge(less);
        if (gift.combo !== null) this.#combos.set(gift.combo, less);
        this.#column.replace(less);
      }
    }
    this.#show();
  }

  #delete(p: number): void {
    this.#flush();
    this.#column.remove(p);
    this.#show();
    this.#hooks.deleted(p);
  }

  /** One's own words are never hidden from oneself. */
  #judge(line: Line): void {
    if (markOf(line, this.me) !== 'own' && blockList.blocked.has(line)) this.#hidden.add(line);
  }

  #flush(): void {
    clearTimeout(this.#columnTimer);
    this.#columnTimer = undefined;
    if (!this.#undrawn) return;
    this.#undrawn = false;
    this.#columnAt = performance.now();
    if (this.#fresh.length > 0) this.#column.add(this.#fresh);
    this.#fresh = [];
    this.#show();
  }

  #show(): void {
    this.lines = this.#column.shown;
    this.unread = this.#column.waiting;
  }
}

/** Leaves the latest. */
function shorten(known: Set<unknown> | Map<unknown, unknown>, most: number): void {
  for (const key of known.keys()) {
    if (known.size <= most) return;
    known.delete(key);
  }
}

function isOfChat(code: GiveRefusal): code is ErrorCode {
  return code !== 'cannot_pay' && code !== 'sold_out' && code !== 'used';
}
