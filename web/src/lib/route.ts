//! The pages by their paths. A handful of pages needs no router library.

export type AccountSection = 'profile' | 'sessions' | 'tokens' | 'wallet';

export type Route =
  | { page: 'home' }
  | { page: 'room'; handle: string }
  | { page: 'sign-in' }
  | { page: 'sign-up' }
  | { page: 'recover' }
  | { page: 'account'; section: AccountSection }
  /** A checkout in the sandbox of payments. */
  | { page: 'pay'; id: string }
  /** `section` is what stands after `/studio/`; empty for its front page. */
  | { page: 'studio'; section: string }
  | { page: 'admin'; section: string }
  | { page: 'not-found'; path: string };

const ROOM_PATH = /^\/@([a-z0-9_]{3,24})\/?$/i;
const PAY_PATH = /^\/pay\/([0-9a-f-]{36})\/?$/;
const SECTION_PATH = /^\/(studio|admin)(?:\/([a-z0-9/_-]*?))?\/?$/;

const PLAIN: Record<string, Route> = {
  '/': { page: 'home' },
  '/index.html': { page: 'home' },
  '/sign-in': { page: 'sign-in' },
  '/sign-up': { page: 'sign-up' },
  '/recover': { page: 'recover' },
  '/account': { page: 'account', section: 'profile' },
  '/account/sessions': { page: 'account', section: 'sessions' },
  '/account/tokens': { page: 'account', section: 'tokens' },
  '/wallet': { page: 'account', section: 'wallet' },
};

export function parseRoute(path: string): Route {
  const plain = PLAIN[path] ?? PLAIN[path.replace(/\/$/, '')];
  if (plain) return plain;
  const handle = ROOM_PATH.exec(path)?.[1];
  if (handle !== undefined) return { page: 'room', handle: handle.toLowerCase() };
  const order = PAY_PATH.exec(path)?.[1];
  if (order !== undefined) return { page: 'pay', id: order };
  const section = SECTION_PATH.exec(path);
  if (section) return { page: section[1] as 'studio' | 'admin', section: section[2] ?? '' };
  return { page: 'not-found', path };
}

export function roomPath(handle: string): string {
  return `/@${handle}`;
}

/** Where to sign in, and to come back from there. */
export function signInPath(then: string): string {
  return then === '/' ? '/sign-in' : `/sign-in?then=${encodeURIComponent(then)}`;
}

/** The wallet, and from there back to a room. */
export function walletPath(handle: string | null): string {
  return handle === null ? '/wallet' : `/wallet?then=${roomPath(handle)}`;
}

/** The room to which `?then=` leads, if it leads to one. */
export function roomOf(then: string | null): string | null {
  const route = parseRoute(safeThen(then));
  return route.page === 'room' ? route.handle : null;
}

/** Nobody is led to these after signing in: they are for who is not signed in. */
const NO_GOAL: ReadonlySet<Route['page']> = new Set<Route['page']>(['sign-in', 'sign-up', 'recover', 'not-found']);

/** Where `?then=` leads, if that is a page of ours; a link from elsewhere must not lead to another site. */
export function safeThen(then: string | null): string {
  // Browsers read a backslash as a slash, and leave out tabs and line ends.
  if (then === null || !/^\/(?![/\\])[^\\\s]*$/.test(then)) return '/';
  const here = 'http://here.invalid';
  let url: URL;
  try {
    url = new URL(then, here);
  } catch {
    return '/';
  }
  if (url.origin !== here || NO_GOAL.has(parseRoute(url.pathname).page)) return '/';
  return url.pathname + url.search + url.hash;
}
