//! Who is signed in, as state. The cookie is hidden from scripts, so the server has to be asked; who never signed in with
//! this browser is not asked about, and nobody's first picture waits for the answer.

import { ApiFailure, onSignedOut } from './api';
import { getMe, signOut as endSession, type Me } from './api/account';
import { navigation } from './navigation.svelte';
import { forget, remember, remembered } from './settings';

export type Who =
  | { state: 'unknown' }
  | { state: 'nobody' }
  | { state: 'somebody'; me: Me }
  /** The server gave no usable answer. */
  | { state: 'unreachable' };

let who = $state.raw<Who>(remembered('signed_in') ? { state: 'unknown' } : { state: 'nobody' });
let asked = false;
let request: Promise<void> | null = null;

export const session = {
  get who(): Who {
    return who;
  },

  get me(): Me | null {
    return who.state === 'somebody' ? who.me : null;
  },

  /** Asks, unless it was asked before or there is no sign that anybody signed in. */
  load(): void {
    if (!asked && who.state === 'unknown') void session.refresh();
  },

  /** For what only somebody may see: asks even without such a sign, for browsers may have forgotten it. */
  require(): void {
    if (asked || who.state === 'somebody') return;
    who = { state: 'unknown' };
    void session.refresh();
  },

  refresh(): Promise<void> {
    asked = true;
    request ??= ask().finally(() => (request = null));
    return request;
  },

  /** What the server just said of the account. */
  became(me: Me): void {
    asked = true;
    who = { state: 'somebody', me };
    if (!remembered('signed_in')) remember('signed_in', 'yes');
  },

  /** Signs out, and leads to where strangers may be. */
  async signOut(): Promise<void> {
    try {
      await endSession();
    } catch (error) {
      // A session that had ended already is as good as one that ends now.
      if (!(error instanceof ApiFailure) || error.code !== 'not_signed_in') throw error;
    }
    navigation.go('/');
    left();
  },
};

async function ask(): Promise<void> {
  try {
    session.became(await getMe());
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 401) left();
    else if (who.state !== 'somebody') who = { state: 'unreachable' };
  }
}

function left(): void {
  asked = true;
  who = { state: 'nobody' };
  forget('signed_in');
}

onSignedOut(left);

// Signed in or out in another tab.
addEventListener('storage', (event) => {
  if (event.key === 'barrage.signed_in') void session.refresh();
});
