//! What this tab keeps across a reload. Storage may be forbidden; then it is forgotten, and nothing breaks.

const PREFIX = 'barrage.';

export function kept(name: string): string | null {
  try {
    return sessionStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Null forgets it. */
export function keep(name: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, value);
  } catch {
    // What cannot be kept lasts as long as the page.
  }
}
