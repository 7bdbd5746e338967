//! Why nothing can be sent, or not everything: what the browser and the server say, as the page tells it. Pure.

import type { Kind } from './picture';

export type Trouble =
  | 'forbidden'
  | 'not_shared'
  | 'no_camera'
  | 'no_microphone'
  | 'in_use'
  | 'device'
  | 'gone'
  | 'unshared'
  | 'no_key'
  | 'taken'
  | 'wrong_key'
  | 'not_allowed'
  | 'full'
  | 'unreachable'
  | 'server';

/** What `getUserMedia` and `getDisplayMedia` throw. */
export function troubleOfDevice(kind: Kind, name: string): Trouble {
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return kind === 'screen' ? 'not_shared' : 'forbidden';
    case 'NotFoundError':
      return 'no_camera';
    case 'NotReadableError':
    case 'AbortError':
      return 'in_use';
    default:
      return 'device';
  }
}

/** By the code of an answer that says no; null when none came. */
export function troubleOfAnswer(code: string | null): Trouble {
  switch (code) {
    case 'taken':
    case 'wrong_key':
    case 'not_allowed':
      return code;
    case 'too_many':
    case 'unavailable':
    case 'too_many_attempts':
      return 'full';
    default:
      return 'server';
  }
}

/** Whether it may be over by itself, so that another attempt makes sense while somebody waits. */
export function passes(trouble: Trouble): boolean {
  return trouble === 'full' || trouble === 'server' || trouble === 'unreachable' || trouble === 'taken';
}
