import { describe, expect, it } from 'vitest';
import { LANGUAGES } from '../i18n/language';
import { ending } from './ending';

const WAYS = ['finished', 'lost', 'shown_out', 'unusable', 'stopped', 'server_ended', 'server_lost'];

describe.each(LANGUAGES)('endings in %s', (language) => {
  it('each way has words of its own', () => {
    const words = [...WAYS, 'struck_by_lightning'].map((ended_how) => ending(language, { ended_how, end_reason: null }));
    expect(new Set(words).size).toBe(WAYS.length + 1);
  });

  it('a way that is not known, and none at all, are told alike', () => {
    expect(ending(language, { ended_how: null, end_reason: null })).toBe(ending(language, { ended_how: 'new', end_reason: null }));
  });

  it('whoever stopped it is quoted', () => {
    expect(ending(language, { ended_how: 'stopped', end_reason: 'Advertising' })).toBe('Advertising');
  });
});
