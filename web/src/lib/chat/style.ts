//! How somebody's own danmaku look. Pure.

import type { Mode, Size } from './protocol';

export interface Style {
  mode: Mode;
  size: Size;
  colour: number;
}

export const MODES: readonly Mode[] = ['scroll', 'top', 'bottom', 'reverse'];
export const LETTER_SIZES: readonly Size[] = ['small', 'normal', 'large'];
/** Light ones, for they stand on a picture with a dark outline. */
export const COLOURS = {
  white: 0xffffff,
  red: 0xff6b5e,
  orange: 0xffa63d,
  yellow: 0xffe14d,
  green: 0x6fdc7c,
  cyan: 0x55dbe0,
  blue: 0x7db4ff,
  pink: 0xff8fc4,
} as const;
export type Colour = keyof typeof COLOURS;

export const PLAIN: Style = { mode: 'scroll', size: 'normal', colour: COLOURS.white };

/** As it was kept; what cannot be read is plain. */
export function parseStyle(text: string | null): Style {
  try {
    const kept = (JSON.parse(text ?? '{}') ?? {}) as Partial<Record<keyof Style, unknown>>;
    return {
      mode: MODES.find((mode) => mode === kept.mode) ?? PLAIN.mode,
      size: LETTER_SIZES.find((size) => size === kept.size) ?? PLAIN.size,
      colour: Object.values(COLOURS).find((colour) => colour === kept.colour) ?? PLAIN.colour,
    };
  } catch {
    return PLAIN;
  }
}
