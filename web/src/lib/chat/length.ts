//! How long a text is as people count it: one for each character and each emote that they see.

import { pieces, type EmoteUrls } from './emotes';

/** Firefox has it since 125; without it code points are counted, and the server has the last word. */
const segmenter = 'Segmenter' in Intl ? new Intl.Segmenter() : null;

export function lengthOf(text: string, emotes: EmoteUrls): number {
  return pieces(text, emotes).reduce((sum, piece) => sum + ('text' in piece ? characters(piece.text) : 1), 0);
}

function characters(text: string): number {
  return segmenter ? [...segmenter.segment(text)].length : [...text].length;
}
