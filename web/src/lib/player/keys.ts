//! Which key does what in the room. Pure.

export type Command =
  | 'play-pause'
  | 'mute'
  | 'full-screen'
  | 'volume-up'
  | 'volume-down'
  | 'go-live'
  | 'danmaku'
  | 'danmaku-pause'
  | 'help';

export interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** What has the focus: typing wants every key, a button wants its space, a slider its arrows. */
export type Focus = 'page' | 'button' | 'slider' | 'text';

export function commandFor(key: Key, focus: Focus): Command | null {
  if (focus === 'text' || key.ctrlKey || key.metaKey || key.altKey) return null;
  switch (key.key) {
    case ' ':
      return focus === 'button' ? null : 'play-pause';
    case 'ArrowUp':
      return focus === 'slider' ? null : 'volume-up';
    case 'ArrowDown':
      return focus === 'slider' ? null : 'volume-down';
    case '?':
    case '？':
      return 'help';
    default:
      break;
  }
  switch (key.key.toLowerCase()) {
    case 'k':
      return 'play-pause';
    case 'm':
      return 'mute';
    case 'f':
      return 'full-screen';
    case 'l':
      return 'go-live';
    case 'd':
      return 'danmaku';
    case 'p':
      return 'danmaku-pause';
    default:
      return null;
  }
}

export function focusOf(target: EventTarget | null): Focus {
  if (!(target instanceof HTMLElement)) return 'page';
  if (target instanceof HTMLInputElement) return target.type === 'range' ? 'slider' : 'text';
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable) {
    return 'text';
  }
  return target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement ? 'button' : 'page';
}
