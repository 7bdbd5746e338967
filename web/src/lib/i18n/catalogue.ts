//! The catalogues and how a message is filled in. Pure.

import { en } from './en';
import type { Language } from './language';
import { zhCN } from './zh-CN';

export type MessageKey = keyof typeof en;
export type Messages = Record<MessageKey, string>;
export type Params = Record<string, string>;

/** Something to say, before it is known in which language. */
export interface Message {
  key: MessageKey;
  params?: Params;
}

export const CATALOGUES: Record<Language, Messages> = { en, 'zh-CN': zhCN };

export function translate(language: Language, key: MessageKey, params: Params): string {
  return CATALOGUES[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => params[name] ?? whole);
}
