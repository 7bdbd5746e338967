//! Who was heard lately, to complete the name of whom somebody calls. Pure.

import { folded } from './blocks';
import type { Person } from './protocol';

const PEOPLE_MAX = 300;
/** The longest handle has 24 characters, the longest name somewhat more. */
const QUERY = /(?:^|[^\p{L}\p{N}_])@([\p{L}\p{N}_]{0,32})$/u;

export class People {
  /** By handle, the latest last. */
  #seen = new Map<string, Person>();

  note(person: Person): void {
    this.#seen.delete(person.handle);
    this.#seen.set(person.handle, person);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > PEOPLE_MAX && oldest !== undefined) this.#seen.delete(oldest);
  }

  /** Whose handle or name begins so, the latest first. */
  find(query: string, most: number, isLeftOut: (person: Person) => boolean): Person[] {
    const wanted = folded(query);
    const begins = ({ handle, name }: Person): boolean => handle.startsWith(wanted) || folded(name ?? '').startsWith(wanted);
    return [...this.#seen.values()].reverse().filter((one) => begins(one) && !isLeftOut(one)).slice(0, most);
  }
}

/** A name that is being written. */
export interface Call {
  /** Where its `@` stands. */
  from: number;
  query: string;
}

/** The name at whose end the caret stands; null if there is none. */
export function callAt(text: string, caret: number): Call | null {
  const query = QUERY.exec(text.slice(0, caret))?.[1];
  return query === undefined ? null : { from: caret - query.length - 1, query };
}

/** The text with the handle in the place of what was written, and where the caret goes. */
export function completed(text: string, call: Call, handle: string): { text: string; caret: number } {
  const rest = text.slice(call.from + 1 + call.query.length);
  const written = `${text.slice(0, call.from)}@${handle} `;
  return { text: written + rest.replace(/^ /, ''), caret: written.length };
}
