//! How loud, remembered between visits.

import { remember, remembered } from '../settings';

export interface Volume {
  /** 0–1. */
  level: number;
  muted: boolean;
}

export const VOLUME_STEP = 0.05;

export function parseVolume(level: string | null, muted: string | null): Volume {
  const number = level === null || level === '' ? Number.NaN : Number(level);
  return { level: number >= 0 && number <= 1 ? number : 1, muted: muted === 'true' };
}

/** Turning up from silence is heard; turning down to nothing is muted. */
export function changeVolume(volume: Volume, by: number): Volume {
  return setVolume(volume.muted && by > 0 ? Math.max(volume.level + by, VOLUME_STEP) : volume.level + by);
}

export function setVolume(level: number): Volume {
  const clamped = Math.round(Math.min(1, Math.max(0, level)) * 100) / 100;
  return { level: clamped, muted: clamped === 0 };
}

export function toggleMuted(volume: Volume): Volume {
  return volume.muted ? { level: volume.level || 0.5, muted: false } : { ...volume, muted: true };
}

export function rememberedVolume(): Volume {
  return parseVolume(remembered('volume'), remembered('muted'));
}

export function rememberVolume(volume: Volume): void {
  remember('volume', String(volume.level));
  remember('muted', String(volume.muted));
}
