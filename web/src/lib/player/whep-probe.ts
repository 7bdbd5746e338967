//! Tries whether WebRTC gets through to the server, while something else plays.

import { take, type Ready } from '../webrtc/ready';
import { connect, end, offer } from '../webrtc/session';
import type { Fault } from './ladder';
import { CONNECTED_MS, faultOf } from './whep-engine';

export class Probe {
  readonly #connection: RTCPeerConnection;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #session: string | null = null;
  #over = false;

  /** `found` hears once what is in the way, null if nothing is; nothing after `stop`. Throws where the browser has forbidden it. */
  constructor(
    address: string,
    private readonly found: (fault: Fault | null) => void,
  ) {
    const ready = take();
    const { connection } = ready;
    this.#connection = connection;
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'connected') this.#tell(null);
      if (connection.connectionState === 'failed') this.#tell('unreachable');
    };
    void this.#try(address, ready).catch((error: unknown) => this.#tell(faultOf(error)));
  }

  stop(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    const session = this.#session;
    if (session === null) this.#connection.close();
    else void end(session).then(() => this.#connection.close());
  }

  async #try(address: string, { sdp }: Ready): Promise<void> {
    const offered = await sdp;
    const answered = await offer(address, offered);
    if (this.#over) return end(answered.session);
    this.#session = answered.session;
    await connect(this.#connection, offered, answered);
    if (!this.#over) this.#timer = setTimeout(() => this.#tell('unreachable'), CONNECTED_MS);
  }

  #tell(fault: Fault | null): void {
    if (this.#over) return;
    this.stop();
    this.found(fault);
  }
}
