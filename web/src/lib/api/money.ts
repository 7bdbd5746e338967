//! Wallets, top-ups and earnings, and what operators may do about them. Coins are whole; money is in minor units.

import { get, send } from '../api';
import type { Wallet } from '../gifts/wallet';

export interface Pack {
  id: string;
  currency: string;
  amount: number;
  coins: number;
  bonus: number;
}

export interface WalletAnswer {
  wallet: Wallet;
  down_since_ms: number | null;
  provider: string;
  packs: Pack[];
}

export type TopUpState = 'open' | 'paid' | 'failed' | 'expired' | 'refunded' | 'disputed';

export interface TopUp {
  id: string;
  state: TopUpState;
  provider: string;
  currency: string;
  amount: number;
  coins: number;
  bonus: number;
  checkout_url: string | null;
  made_at: string;
  paid_at: string | null;
}

export interface NamedGift {
  id: string;
  name: Record<string, string>;
  count: number;
}

export interface WalletLine {
  seq: number;
  transaction: string;
  at: string;
  kind: string;
  coins: number;
  promo: number;
  gift?: NamedGift;
  channel?: { handle: string; name: string };
}

export interface PageOf<Row> {
  lines: Row[];
  next: number | null;
}

export interface Contract {
  version: number;
  streamer_bp: number;
  agency_bp: number;
  platform_bp: number;
  agency: Agency | null;
  /** Not the one that all have who have none. */
  own: boolean;
}

export interface EarningsDay {
  day: string;
  gifts: number;
  earned: number;
  taken_back: number;
  releases_on: string;
  released: boolean;
}

export interface Earnings {
  held: number;
  available: number;
  promo: number;
  owed: number;
  hold_days: number;
  contract: Contract;
  days: EarningsDay[];
}

export interface EarningsLine {
  seq: number;
  transaction: string;
  at: string;
  kind: string;
  gift?: NamedGift;
  by?: { handle: string; name: string };
  /** What it cost who gave it. */
  coins: number | null;
  earned: number;
  promo: number;
  /** What may be paid out from then on. */
  released: number;
  reversed: boolean;
}

/** As operators see it. */
export interface MoneyLine extends WalletLine {
  reversed: boolean;
  reversible: boolean;
}

export interface MoneyAnswer {
  user: { handle: string; name: string };
  wallet: Wallet;
  /** The last first. */
  top_ups: TopUp[];
  lines: MoneyLine[];
  next: number | null;
}

export type Why = 'refund' | 'chargeback' | 'minor';

export interface Note {
  id: string;
  at: string;
  /** Their handle. */
  by: string;
  /** Such as `reversal`. */
  what: string;
  subject: string;
  reason: string;
}

const WALLET = '/api/v1/wallet';
const ADMIN = '/api/v1/admin/money';
/** So many lines come at once. */
export const LINES_PAGE = 50;
const before = (seq: number | null): string => (seq === null ? '' : `&before=${seq}`);

export const getWallet = async (): Promise<WalletAnswer> => (await get<WalletAnswer>(WALLET)).body;
export const getHistory = async (seq: number | null): Promise<PageOf<WalletLine>> =>
  (await get<PageOf<WalletLine>>(`${WALLET}/history?limit=50${before(seq)}`)).body;
/** `key` makes that asking twice buys once. */
export const topUp = (pack: string, key: string): Promise<TopUp> => send('POST', `${WALLET}/top-ups`, { pack }, undefined, key);
export const getTopUps = async (): Promise<TopUp[]> => (await get<{ top_ups: TopUp[] }>(`${WALLET}/top-ups`)).body.top_ups;
export const getTopUp = async (id: string, signal?: AbortSignal): Promise<TopUp> =>
  (await get<TopUp>(`${WALLET}/top-ups/${encodeURIComponent(id)}`, signal)).body;

const sandbox = (id: string): string => `/api/v1/payments/sandbox/${encodeURIComponent(id)}`;
export const getSandboxPayment = async (id: string): Promise<TopUp> => (await get<TopUp>(sandbox(id))).body;
export const decideSandboxPayment = (id: string, outcome: 'pay' | 'decline'): Promise<unknown> => send('POST', sandbox(id), { outcome });

const earnings = (handle: string): string => `/api/v1/channels/${encodeURIComponent(handle)}/earnings`;
export const getEarnings = async (handle: string): Promise<Earnings> => (await get<Earnings>(earnings(handle))).body;
export const getEarningsLines = async (handle: string, seq: number | null): Promise<PageOf<EarningsLine>> =>
  (await get<PageOf<EarningsLine>>(`${earnings(handle)}/lines?limit=${LINES_PAGE}${before(seq)}`)).body;

const account = (handle: string): string => `/api/v1/admin/wallets/${encodeURIComponent(handle)}`;
export const getMoney = async (handle: string, seq: number | null): Promise<MoneyAnswer> =>
  (await get<MoneyAnswer>(`${account(handle)}?limit=${LINES_PAGE}${before(seq)}`)).body;
export const reverse = (transaction: string, why: Why, reason: string): Promise<unknown> =>
  send('POST', `${ADMIN}/reversals`, { transaction, why, reason });
export const freeze = (handle: string, frozen: boolean, reason: string): Promise<unknown> =>
  send('POST', `${account(handle)}/${frozen ? 'freeze' : 'unfreeze'}`, { reason });
/** While the provider has not decided, what comes back is still paid. */
export const refundTopUp = (id: string, why: Why, reason: string): Promise<TopUp> =>
  send('POST', `${ADMIN}/payments/${encodeURIComponent(id)}/refund`, { why, reason });
/** Those before this one; the last, if null. As many at once as lines. */
export const getNotes = async (note: string | null): Promise<Note[]> =>
  (await get<{ notes: Note[] }>(`${ADMIN}/notes${note === null ? '' : `?before=${encodeURIComponent(note)}`}`)).body.notes;

export interface Agency {
  id: string;
  name: string;
}

/** What is neither the streamer's nor the agency's is the platform's. */
export interface Terms {
  streamer_bp: number;
  /** Its identity. */
  agency: string | null;
  agency_bp: number;
  reason: string;
}

const AGENCIES = '/api/v1/admin/agencies';
const contract = (handle: string): string => `/api/v1/admin/channels/${encodeURIComponent(handle)}/contract`;
export const getContract = async (handle: string): Promise<Contract> => (await get<Contract>(contract(handle))).body;
export const setContract = (handle: string, terms: Terms): Promise<Contract> => send('PUT', contract(handle), terms);
export const getAgencies = async (): Promise<Agency[]> => (await get<Agency[]>(AGENCIES)).body;
export const addAgency = (name: string): Promise<Agency> => send('POST', AGENCIES, { name });
