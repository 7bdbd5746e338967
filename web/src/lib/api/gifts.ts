//! What can be given, and how operators change that.

import { get, send } from '../api';
import type { GiftKind } from '../chat/protocol';

export interface Gift extends GiftKind {
  /** In coins. */
  price: number;
  /** Of limited stock. */
  left: number | null;
}

/** What a super chat of at least so many coins gets. */
export interface SuperChatTier {
  from: number;
  pin_s: number;
  text_max: number;
  colour: string;
}

export interface Gifts {
  gifts: Gift[];
  super_chat: SuperChatTier[];
  down_since_ms: number | null;
}

/** As operators see it. */
export interface CatalogueGift extends Gift {
  sold: number;
  stock: number | null;
  on_sale: boolean;
}

export type GiftChange = Partial<Pick<CatalogueGift, 'name' | 'price' | 'tier' | 'effect' | 'glyph' | 'stock' | 'on_sale'>>;
export type NewGift = Pick<CatalogueGift, 'id' | 'name' | 'price' | 'tier' | 'effect' | 'glyph' | 'stock' | 'on_sale'>;

const ADMIN = '/api/v1/admin/gifts';

export const getGifts = async (): Promise<Gifts> => (await get<Gifts>('/api/v1/gifts')).body;
export const getCatalogue = async (): Promise<CatalogueGift[]> => (await get<CatalogueGift[]>(ADMIN)).body;
export const makeGift = (gift: NewGift): Promise<CatalogueGift> => send('POST', ADMIN, gift);
export const changeGift = (id: string, change: GiftChange): Promise<CatalogueGift> => send('PATCH', `${ADMIN}/${encodeURIComponent(id)}`, change);
