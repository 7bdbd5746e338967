//! Servers that help out of a network that lets nothing through, as an answer's `Link` header names them
//! (RFC 9725 §4.6). Pure.

const LINK = /<((?:stun|turn)s?:[^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g;
const PARAMETER = /([\w-]+)="([^"]*)"/g;

/** The servers in a `Link` header; none without one. */
export function iceServersOf(header: string | null): RTCIceServer[] {
  return [...(header ?? '').matchAll(LINK)].flatMap(([, urls = '', rest = '']) => {
    const told = new Map([...rest.matchAll(PARAMETER)].map(([, name = '', value = '']) => [name, value]));
    if (told.get('rel') !== 'ice-server') return [];
    const [username, credential] = [told.get('username'), told.get('credential')];
    return username === undefined || credential === undefined ? { urls } : { urls, username, credential };
  });
}
