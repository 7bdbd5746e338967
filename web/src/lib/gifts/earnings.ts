//! What a channel earns, in words and sums. Pure.

import type { Contract, EarningsDay, EarningsLine } from '../api/money';
import type { MessageKey } from '../i18n/catalogue';
import type { Language } from '../i18n/language';

const KINDS = ['gift', 'release', 'refund', 'chargeback', 'minor_refund'] as const;

export function kindOfEarning({ kind }: Pick<EarningsLine, 'kind'>): MessageKey {
  const known = KINDS.find((one) => one === kind);
  return known === undefined ? 'earnings.kind.other' : `earnings.kind.${known}`;
}

export interface Share {
  who: 'streamer' | 'agency' | 'platform';
  basis_points: number;
}

/** Who has a share in what is given; who has none is left out. */
export function sharesOf({ streamer_bp, agency_bp, platform_bp }: Contract): Share[] {
  const shares: Share[] = [
    { who: 'streamer', basis_points: streamer_bp },
    { who: 'agency', basis_points: agency_bp },
    { who: 'platform', basis_points: platform_bp },
  ];
  return shares.filter(({ basis_points }) => basis_points > 0);
}

/** "70 %", with as many digits as a basis point needs. */
export function percent(language: Language, basis_points: number): string {
  return new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 2 }).format(basis_points / 10_000);
}

export type DaysTotal = Pick<EarningsDay, 'gifts' | 'earned' | 'taken_back'>;

export function totalOf(days: readonly EarningsDay[]): DaysTotal {
  const sum = (of: (day: EarningsDay) => number): number => days.reduce((all, day) => all + of(day), 0);
  return { gifts: sum((day) => day.gifts), earned: sum((day) => day.earned), taken_back: sum((day) => day.taken_back) };
}
