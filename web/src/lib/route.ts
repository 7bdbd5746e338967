//! The pages by their paths. Two pages need no router library.

export type Route =
  | { page: 'home' }
  | { page: 'room'; handle: string }
  | { page: 'not-found'; path: string };

const ROOM_PATH = /^\/@([a-z0-9_]{3,24})\/?$/i;

export function parseRoute(path: string): Route {
  if (path === '/' || path === '/index.html') return { page: 'home' };
  const handle = ROOM_PATH.exec(path)?.[1];
  if (handle !== undefined) return { page: 'room', handle: handle.toLowerCase() };
  return { page: 'not-found', path };
}

export function roomPath(handle: string): string {
  return `/@${handle}`;
}
