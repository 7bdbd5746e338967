import { describe, expect, it } from 'vitest';
import { COLOURS, parseStyle, PLAIN } from './style';

describe('parseStyle', () => {
  it('reads what was kept', () => {
    const style = { mode: 'top', size: 'large', colour: COLOURS.blue };
    expect(parseStyle(JSON.stringify(style))).toEqual(style);
  });

  it.each([null, '', 'null', '7', '{"mode":"up","colour":1}'])('takes %s for plain', (text) => {
    expect(parseStyle(text)).toEqual(PLAIN);
  });
});
