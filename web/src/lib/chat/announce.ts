//! What a screen reader is told of a room. Pure.

/** So many are read out; of more, only those that call the listener and how many there were. */
const READ_MAX = 3;

export interface Announced {
  /** Read out one by one. */
  lines: number[];
  /** How many more there were. */
  more: number;
}

/** What is said of the lines since the last time, each of which calls the listener or not. */
export function announced(calls: readonly boolean[]): Announced {
  const all = calls.map((_, at) => at);
  const lines = all.length <= READ_MAX ? all : all.filter((at) => calls[at]).slice(-READ_MAX);
  return { lines, more: all.length - lines.length };
}
