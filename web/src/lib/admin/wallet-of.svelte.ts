//! Somebody's wallet as state, for operators.

import { getMoney, LINES_PAGE, type MoneyAnswer, type MoneyLine } from '../api/money';
import { Rows } from '../listing.svelte';

export class WalletOf {
  /** As it was when lines were asked for last. */
  answer = $state.raw<MoneyAnswer | null>(null);
  readonly lines: Rows<MoneyLine>;

  constructor(readonly handle: string) {
    this.lines = new Rows<MoneyLine>({
      ask: async (before) => {
        this.answer = await getMoney(handle, before === null ? null : Number(before));
        return this.answer.lines;
      },
      idOf: ({ seq }) => String(seq),
      pageRows: LINES_PAGE,
    });
  }
}
