//! How a viewer wants danmaku over the picture. Pure.

export const DENSITIES = ['few', 'some', 'many', 'all'] as const;
export const AREAS = ['quarter', 'half', 'three_quarters', 'whole'] as const;
export const SIZES = ['small', 'normal', 'large', 'huge'] as const;
export const SPEEDS = ['slow', 'normal', 'fast'] as const;
/** `system` moves them unless the system asks for less motion. */
export const MOTIONS = ['system', 'move', 'stand'] as const;

export interface Settings {
  density: (typeof DENSITIES)[number];
  area: (typeof AREAS)[number];
  size: (typeof SIZES)[number];
  speed: (typeof SPEEDS)[number];
  motion: (typeof MOTIONS)[number];
  /** Hundredths. */
  opacity: number;
}

export const OPACITY = { min: 20, max: 100, step: 10 };
export const DEFAULTS: Settings = { density: 'many', area: 'three_quarters', size: 'normal', speed: 'normal', motion: 'system', opacity: 100 };

/** How many are over a picture of the usual width at once, about. */
export const AT_ONCE: Record<Settings['density'], number> = { few: 8, some: 20, many: 50, all: Infinity };
/** The share of the picture's height, from above. */
export const HEIGHT: Record<Settings['area'], number> = { quarter: 0.25, half: 0.5, three_quarters: 0.75, whole: 1 };
export const SCALE: Record<Settings['size'], number> = { small: 0.8, normal: 1, large: 1.3, huge: 1.6 };
/** How long one takes across the picture. */
export const SCROLL_MS: Record<Settings['speed'], number> = { slow: 13_000, normal: 9_000, fast: 6_000 };

/** As it was kept; what cannot be read is as at the beginning. */
export function parseSettings(text: string | null): Settings {
  const kept = objectOf(text);
  const one = <T extends string>(key: string, values: readonly T[], otherwise: T): T =>
    values.find((value) => value === kept[key]) ?? otherwise;
  return {
    density: one('density', DENSITIES, DEFAULTS.density),
    area: one('area', AREAS, DEFAULTS.area),
    size: one('size', SIZES, DEFAULTS.size),
    speed: one('speed', SPEEDS, DEFAULTS.speed),
    motion: one('motion', MOTIONS, DEFAULTS.motion),
    opacity: opacityOf(kept['opacity']),
  };
}

function opacityOf(value: unknown): number {
  return typeof value === 'number' && value >= OPACITY.min && value <= OPACITY.max ? Math.round(value) : DEFAULTS.opacity;
}

function objectOf(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
