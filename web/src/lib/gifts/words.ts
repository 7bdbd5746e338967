//! How gifts are named and coloured. Pure.

import type { SuperChatTier } from '../api/gifts';
import type { Language } from '../i18n/language';

/** In the reader's language, or the one there is. */
export function nameOf({ id, name }: { id: string; name: Readonly<Record<string, string>> }, language: Language): string {
  return name[language] ?? name['en'] ?? Object.values(name)[0] ?? id;
}

/** The greatest tier that so many coins reach. */
export function tierOf(tiers: readonly SuperChatTier[], coins: number): SuperChatTier | null {
  return tiers.findLast(({ from }) => from <= coins) ?? null;
}

/** Black or white, whichever is read better on this colour. */
export function inkOn(colour: string): '#000000' | '#ffffff' {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\da-f]{2}/gi) ?? []).map((part) => {
    const value = Number.parseInt(part, 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return (light + 0.05) ** 2 > 1.05 * 0.05 ? '#000000' : '#ffffff';
}
