//! How long a text is as people count it: one for each character that they see.

/** Firefox has it since 125; without it code points are counted, and the server has the last word. */
const segmenter = 'Segmenter' in Intl ? new Intl.Segmenter() : null;

export function lengthOf(text: string): number {
  return segmenter ? [...segmenter.segment(text)].length : [...text].length;
}
