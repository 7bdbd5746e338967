//! A connection to watch over, made before it is known where to: browsers take a while to set up their first, which may as
//! well pass while the page's code and the server's answer are on their way.

import { withStereo } from './sdp';

export interface Ready {
  connection: RTCPeerConnection;
  /** What it offers, once that is written. */
  sdp: Promise<string>;
}

let kept: Ready | null = null;

/** Makes one, for who takes it later. */
export function prepare(): void {
  if (kept !== null) return;
  try {
    kept = make();
    // Who takes it hears of a failure.
    kept.sdp.catch(() => undefined);
  } catch {
    // The browser's owner has forbidden it; who wants to watch finds out.
  }
}

/** One that was prepared, or another. Throws where the browser's owner has forbidden it. */
export function take(): Ready {
  const ready = kept ?? make();
  kept = null;
  return ready;
}

function make(): Ready {
  const connection = new RTCPeerConnection();
  for (const kind of ['video', 'audio']) connection.addTransceiver(kind, { direction: 'recvonly' });
  return { connection, sdp: connection.createOffer().then(({ sdp }) => withStereo(sdp ?? '')) };
}
