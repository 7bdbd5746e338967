//! Emotes: pictures of a channel that stand in what is said as `:code:`. Pure.

/** One that the channel offers. */
export interface Emote {
  code: string;
  url: string;
  width: number;
  height: number;
}

/** Where the picture of each code is found. */
export type EmoteUrls = Readonly<Record<string, string>>;

export type Piece = { text: string } | { code: string; url: string };

/** What is said, in pieces: text, and the emotes that the server named. */
export function pieces(text: string, urls: EmoteUrls | undefined): Piece[] {
  if (!urls) return [{ text }];
  const found: Piece[] = [];
  let told = 0;
  for (let at = text.indexOf(':'); at !== -1; ) {
    const end = text.indexOf(':', at + 1);
    if (end === -1) break;
    const code = text.slice(at + 1, end);
    const url = Object.hasOwn(urls, code) ? urls[code] : undefined;
    if (url === undefined) {
      // The second colon may begin a code.
      at = end;
      continue;
    }
    if (at > told) found.push({ text: text.slice(told, at) });
    found.push({ code, url });
    told = end + 1;
    at = text.indexOf(':', told);
  }
  if (told < text.length) found.push({ text: text.slice(told) });
  return found;
}
