//! A session of WHIP or WHEP (RFC 9725): one offer, one answer, and an address at which it is ended. The server has its
//! candidates in the answer and learns ours from where we ask, so nothing else is said over HTTP.

import { iceServersOf } from './ice-servers';

/** The server said no; `code` is as in docs/operating.md, or null if the answer had none. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string | null,
  ) {
    super(code ?? `status ${status}`);
  }
}

export interface Answered {
  /** Where the session is ended. */
  session: string;
  sdp: string;
  /** What helps where the server itself cannot be reached. */
  iceServers: RTCIceServer[];
}

/** An answer is not waited for longer than this. */
const PATIENCE_MS = 5_000;

/**
 * Sends an offer. `key` is that of a publisher.
 *
 * Throws `Refused` when the server says no, and what `fetch` throws when nothing comes.
 */
export async function offer(address: string, sdp: string, key: string | null = null): Promise<Answered> {
  const headers = { 'content-type': 'application/sdp', ...authorization(key) };
  const response = await fetch(address, { method: 'POST', headers, body: sdp, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.status !== 201) throw new Refused(response.status, await codeOf(response));
  const location = response.headers.get('location');
  if (location === null) throw new Refused(response.status, null);
  const iceServers = iceServersOf(response.headers.get('link'));
  return { session: new URL(location, response.url).href, sdp: await response.text(), iceServers };
}

/**
 * Connects by what was offered and answered. Only now does the browser look for ways to the server, since only now it
 * knows who helps.
 */
export async function connect(connection: RTCPeerConnection, sdp: string, answered: Answered): Promise<void> {
  const { iceServers } = answered;
  if (iceServers.length > 0) connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
  await connection.setLocalDescription({ type: 'offer', sdp });
  await connection.setRemoteDescription({ type: 'answer', sdp: answered.sdp });
}

/** Begins ICE anew with a fragment of a description, and gives the server's. Throws as `offer` does. */
export async function restart(session: string, fragment: string, key: string): Promise<string> {
  const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*', ...authorization(key) };
  const response = await fetch(session, { method: 'PATCH', headers, body: fragment, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Refused(response.status, await codeOf(response));
  return response.text();
}

/** What a viewer saw since the session began. */
export interface Seen {
  readonly freezes: number;
  readonly frozen_ms: number;
  readonly dropped: number;
}

/** Tells the server what was seen, also while the page is being left. Nobody waits for it. */
export async function tellSeen(session: string, seen: Seen): Promise<void> {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(seen), keepalive: true };
  await fetch(`${session}/seen`, request).catch(() => undefined);
}

/** Also while the page is being left. Who cannot be told finds out by our silence. */
export async function end(session: string, key: string | null = null): Promise<void> {
  await fetch(session, { method: 'DELETE', headers: authorization(key), keepalive: true }).catch(() => undefined);
}

function authorization(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

async function codeOf(response: Response): Promise<string | null> {
  try {
    const { code } = (await response.json()) as { code?: unknown };
    return typeof code === 'string' ? code : null;
  } catch {
    return null;
  }
}
