//! What this browser remembers. Storage may be forbidden; then nothing is remembered and nothing breaks.

type Setting =
  | 'language'
  | 'volume'
  | 'muted'
  | 'delay'
  | 'webrtc_shut'
  | 'camera'
  | 'danmaku'
  | 'danmaku_settings'
  | 'danmaku_style'
  | 'blocked'
  | 'gift_effects'
  | 'signed_in';

export function remembered(setting: Setting): string | null {
  try {
    return localStorage.getItem(`barrage.${setting}`);
  } catch {
    return null;
  }
}

export function remember(setting: Setting, value: string): void {
  try {
    localStorage.setItem(`barrage.${setting}`, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

export function forget(setting: Setting): void {
  try {
    localStorage.removeItem(`barrage.${setting}`);
  } catch {
    // What could not be remembered need not be forgotten.
  }
}

/** Hears when another page of this browser remembers something else. */
export function listened(setting: Setting, changed: (value: string | null) => void): void {
  addEventListener('storage', ({ key, newValue }) => {
    if (key === `barrage.${setting}`) changed(newValue);
  });
}
