//! One's own wallet as state, for all of the page: from answers, and from what rooms say.

import { ApiFailure } from '../api';
import { getWallet } from '../api/money';
import { later, type Wallet } from './wallet';

let wallet = $state.raw<Wallet | null>(null);
let whose: string | null = null;

export const purse = {
  get wallet(): Wallet | null {
    return wallet;
  },

  note(heard: Wallet): void {
    wallet = later(wallet, heard);
  },

  /** Another person's wallet is no later version of this one. */
  of(person: string | null): void {
    if (whose === person) return;
    whose = person;
    wallet = null;
  },

  async load(): Promise<void> {
    const asked = whose;
    try {
      const answer = await getWallet();
      if (asked === whose) purse.note(answer.wallet);
    } catch (error) {
      // It is shown when it is known; rooms tell it too.
      if (!(error instanceof ApiFailure)) throw error;
    }
  },
};
