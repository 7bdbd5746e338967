//! What to type into OBS. Pure.

/** The port that RTMP addresses leave out. */
export const RTMP_PORT = 1935;

/** The server line: the host by which the page was reached, and the port unless it is the usual one. */
export function obsServer(hostname: string, port: number = RTMP_PORT): string {
  const host = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname;
  return `rtmp://${host}${port === RTMP_PORT ? '' : `:${port}`}/live`;
}
