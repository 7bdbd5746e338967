//! ICE begun anew over a session's address (RFC 9725 §4.3): what is sent of our description, and what becomes of the
//! server's. Pure.

const line = (sdp: string, name: string): string | null => new RegExp(`^a=${name}:(.*?)\\r?$`, 'm').exec(sdp)?.[1] ?? null;

/** Our new names, as a fragment. */
export function fragmentOf(offer: string): string {
  const [ufrag, password, mid] = ['ice-ufrag', 'ice-pwd', 'mid'].map((name) => line(offer, name) ?? '');
  return [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${password}`, 'm=audio 9 UDP/TLS/RTP/SAVPF 0', `a=mid:${mid}`, ''].join('\r\n');
}

/** The server's description with the names of its answer; null if that has none. */
export function renamed(answer: string, fragment: string): string | null {
  const [ufrag, password] = [line(fragment, 'ice-ufrag'), line(fragment, 'ice-pwd')];
  if (ufrag === null || password === null) return null;
  return answer.replace(/^a=ice-ufrag:.*?(\r?)$/gm, `a=ice-ufrag:${ufrag}$1`).replace(/^a=ice-pwd:.*?(\r?)$/gm, `a=ice-pwd:${password}$1`);
}
