import { describe, expect, it } from 'vitest';
import { Queue, type Entry } from './queue';

const entry = (it: string, changes: Partial<Entry<string>> = {}): Entry<string> => ({ it, first: false, picture: null, since: 0, ...changes });

/** What finds its place, with room for so many. */
function admitted(queue: Queue<string>, now: number, position: number | null, room = Infinity): string[] {
  const placed: string[] = [];
  queue.admit(now, position, ({ it }) => placed.length < room && placed.push(it) > 0);
  return placed;
}

describe('the queue', () => {
  it('lets each wait for its picture', () => {
    const queue = new Queue<string>();
    queue.add(entry('later', { picture: 5_000_000 }));
    queue.add(entry('now', { picture: 1_000_000 }));
    expect(admitted(queue, 0, 2_000_000)).toEqual(['now']);
    expect(admitted(queue, 100, 4_999_999)).toEqual([]);
    expect(admitted(queue, 200, 5_000_000)).toEqual(['later']);
  });

  it('waits for none where it is not known which picture is shown, nor for ever', () => {
    const queue = new Queue<string>();
    queue.add(entry('one', { picture: 5_000_000 }));
    expect(admitted(queue, 0, null)).toEqual(['one']);
    queue.add(entry('two', { picture: 5_000_000 }));
    expect(admitted(queue, 30_000, 0)).toEqual([]);
    expect(admitted(queue, 30_001, 0)).toEqual(['two']);
  });

  it('tries for a second to find a place, and counts what found none', () => {
    const queue = new Queue<string>();
    for (const it of ['a', 'b', 'c']) queue.add(entry(it));
    expect(admitted(queue, 0, null, 1)).toEqual(['a']);
    expect(admitted(queue, 999, null, 1)).toEqual(['b']);
    expect(admitted(queue, 1_000, null, 0)).toEqual([]);
    expect([queue.size, queue.dropped]).toEqual([0, 1]);
  });

  it('puts those first that are never left out, in their order', () => {
    const queue = new Queue<string>();
    queue.add(entry('other'));
    queue.add(entry('own', { first: true }));
    queue.add(entry('called', { first: true }));
    expect(admitted(queue, 0, null, 1)).toEqual(['own']);
    expect(admitted(queue, 60_000, null, 0)).toEqual([]);
    expect([queue.size, queue.dropped]).toEqual([1, 1]);
    expect(admitted(queue, 70_000, null)).toEqual(['called']);
  });

  it('has a bound, at which the oldest leaves that may', () => {
    const queue = new Queue<string>();
    queue.add(entry('own', { first: true, picture: 1 }));
    for (let n = 0; n < 4_010; n += 1) queue.add(entry(String(n), { picture: 1 }));
    expect([queue.size, queue.dropped]).toEqual([4_000, 11]);
    const all = admitted(queue, 0, 1);
    expect([all[0], all[1], all.length]).toEqual(['own', '11', 4_000]);
  });

  it('forgets what was taken away', () => {
    const queue = new Queue<string>();
    for (const it of ['a', 'b']) queue.add(entry(it, { picture: 9 }));
    queue.keep((it) => it !== 'a');
    expect(admitted(queue, 0, 9)).toEqual(['b']);
  });
});
