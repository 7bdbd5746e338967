//! The browser's address as state: plain links stay plain links, and a click on one of ours changes the page in place
//! (which keeps the visitor's gesture, so that a room may start with sound).

import { parseRoute, type Route } from './route';

let current = $state.raw<Route>(parseRoute(location.pathname));
let search = $state(location.search);

export const navigation = {
  get route(): Route {
    return current;
  },

  /** What stands after the question mark. */
  get query(): URLSearchParams {
    return new URLSearchParams(search);
  },

  /** Opens a page of ours; `replace` leaves no way back to this one. */
  go(path: string, { replace = false } = {}): void {
    const url = new URL(path, location.href);
    if (replace) history.replaceState(null, '', url);
    else if (url.href !== location.href) history.pushState(null, '', url);
    read();
    scrollTo(0, 0);
  },

  /** Writes another address over this one; the page stays as it is. */
  readdress(path: string): void {
    history.replaceState(null, '', path);
  },
};

function read(): void {
  current = parseRoute(location.pathname);
  search = location.search;
}

export function listenForNavigation(): () => void {
  const onClick = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.hash) return;
    if (parseRoute(url.pathname).page === 'not-found') return;
    event.preventDefault();
    navigation.go(url.pathname + url.search);
  };
  document.addEventListener('click', onClick);
  addEventListener('popstate', read);
  return () => {
    document.removeEventListener('click', onClick);
    removeEventListener('popstate', read);
  };
}
