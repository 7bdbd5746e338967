//! The browser's address as state: plain links stay plain links, and a click on one of ours changes the page in place
//! (which keeps the visitor's gesture, so that a room may start with sound).

import { parseRoute, type Route } from './route';

let current = $state.raw<Route>(parseRoute(location.pathname));

export const navigation = {
  get route(): Route {
    return current;
  },
};

export function listenForNavigation(): () => void {
  const onClick = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.hash) return;
    const route = parseRoute(url.pathname);
    if (route.page === 'not-found') return;
    event.preventDefault();
    if (url.pathname !== location.pathname) history.pushState(null, '', url.pathname);
    current = route;
    scrollTo(0, 0);
  };
  const onPop = (): void => {
    current = parseRoute(location.pathname);
  };
  document.addEventListener('click', onClick);
  addEventListener('popstate', onPop);
  return () => {
    document.removeEventListener('click', onClick);
    removeEventListener('popstate', onPop);
  };
}
