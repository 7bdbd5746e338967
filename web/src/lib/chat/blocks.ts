//! Whom and what a viewer does not want to see. Pure.

export interface BlockedPerson {
  id: string;
  handle: string;
}

export interface Blocks {
  people: readonly BlockedPerson[];
  words: readonly string[];
}

/** What is asked of somebody's words. */
interface Spoken {
  by: { id: string };
  text: string;
}

export const NO_BLOCKS: Blocks = { people: [], words: [] };
export const PEOPLE_MAX = 500;
export const WORDS_MAX = 200;
export const WORD_LENGTH_MAX = 50;

/** Text as it is compared: one form of each character, without case and without what cannot be seen. */
export function folded(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    // Twice: ẞ only becomes ß at first, and ß only by its capitals ss.
    .toLowerCase()
    .toUpperCase()
    .toLowerCase()
    .replaceAll('ς', 'σ')
    .normalize('NFKC');
}

/** Knows at once whether something is blocked. */
export class Blocked {
  readonly #ids: ReadonlySet<string>;
  readonly #handles: ReadonlySet<string>;
  readonly #words: readonly string[];

  constructor({ people, words }: Blocks) {
    this.#ids = new Set(people.map(({ id }) => id));
    this.#handles = new Set(people.map(({ handle }) => handle));
    this.#words = words.map(folded);
  }

  has({ by, text }: Spoken): boolean {
    return this.#ids.has(by.id) || this.hasWord(text);
  }

  /** Of what is answered only the handle is known. */
  hasQuote({ handle, text }: { handle: string; text: string }): boolean {
    return this.#handles.has(handle) || this.hasWord(text);
  }

  hasWord(text: string): boolean {
    if (this.#words.length === 0) return false;
    const there = folded(text);
    return this.#words.some((word) => there.includes(word));
  }
}

export type WordProblem = 'empty' | 'long' | 'there' | 'full';

/** Why a word cannot be added, or null. */
export function wordProblem({ words }: Blocks, word: string): WordProblem | null {
  const wanted = folded(word.trim());
  if (wanted === '') return 'empty';
  if (wanted.length > WORD_LENGTH_MAX) return 'long';
  if (words.some((one) => folded(one) === wanted)) return 'there';
  return words.length >= WORDS_MAX ? 'full' : null;
}

export function withWord(blocks: Blocks, word: string): Blocks {
  return wordProblem(blocks, word) === null ? { ...blocks, words: [...blocks.words, word.trim()] } : blocks;
}

export function withoutWord(blocks: Blocks, word: string): Blocks {
  return { ...blocks, words: blocks.words.filter((one) => one !== word) };
}

export function withPerson(blocks: Blocks, { id, handle }: BlockedPerson): Blocks {
  const others = blocks.people.filter((one) => one.id !== id);
  return others.length >= PEOPLE_MAX ? blocks : { ...blocks, people: [...others, { id, handle }] };
}

export function withoutPerson(blocks: Blocks, id: string): Blocks {
  return { ...blocks, people: blocks.people.filter((one) => one.id !== id) };
}

/** As they were kept; what cannot be read is left out. */
export function parseBlocks(text: string | null): Blocks {
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
  try {
    const kept = JSON.parse(text ?? '{}') as { people?: unknown; words?: unknown } | null;
    const people = list(kept?.people).filter(isPerson).map(({ id, handle }) => ({ id, handle }));
    return list(kept?.words)
      .filter((word) => typeof word === 'string')
      .reduce(withWord, { people: people.slice(0, PEOPLE_MAX), words: [] });
  } catch {
    return NO_BLOCKS;
  }
}

function isPerson(value: unknown): value is BlockedPerson {
  const { id, handle } = (value ?? {}) as Partial<BlockedPerson>;
  return typeof id === 'string' && typeof handle === 'string';
}
