import { describe, expect, it } from 'vitest';
import { commandFor } from './keys';

describe('commandFor', () => {
  const key = (name: string, changes = {}) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...changes });

  it.each([
    [' ', 'play-pause'],
    ['k', 'play-pause'],
    ['K', 'play-pause'],
    ['m', 'mute'],
    ['f', 'full-screen'],
    ['l', 'go-live'],
    ['ArrowUp', 'volume-up'],
    ['ArrowDown', 'volume-down'],
    ['d', 'danmaku'],
    ['p', 'danmaku-pause'],
    ['?', 'help'],
    ['x', null],
  ])('%s is %s', (name, command) => {
    expect(commandFor(key(name), 'page')).toBe(command);
  });

  it('leaves typing, a focused button’s space, a slider’s arrows and the browser’s own alone', () => {
    expect(commandFor(key('k'), 'text')).toBeNull();
    expect(commandFor(key(' '), 'button')).toBeNull();
    expect(commandFor(key('ArrowUp'), 'slider')).toBeNull();
    expect(commandFor(key('f', { ctrlKey: true }), 'page')).toBeNull();
  });
});
