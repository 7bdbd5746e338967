//! The page's language as state.

import { remember, remembered } from '../settings';
import { translate, type Message, type MessageKey, type Params } from './catalogue';
import { chooseLanguage, otherLanguage, type Language } from './language';

let current = $state<Language>(
  chooseLanguage(new URLSearchParams(location.search).get('lang'), remembered('language'), navigator.languages),
);

export function language(): Language {
  return current;
}

export function switchLanguage(): void {
  current = otherLanguage(current);
  remember('language', current);
}

export function t(key: MessageKey, params: Params = {}): string {
  return translate(current, key, params);
}

export function say({ key, params = {} }: Message): string {
  return translate(current, key, params);
}
