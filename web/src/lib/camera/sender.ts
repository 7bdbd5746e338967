//! Publishes over WHIP, and goes on when the network breaks: ICE is begun anew, and where that does not help, the session.
//! The server waits for a publisher that vanished, so that the broadcast is the same.

import { backoffDelay } from '../backoff';
import { fragmentOf, renamed } from '../webrtc/restart';
import { startingAt, withoutStereo } from '../webrtc/sdp';
import { connect, end, offer, Refused, restart } from '../webrtc/session';
import { encodingOf, preferred, soundBitrate, type Choice, type Kind } from './picture';
import { passes, troubleOfAnswer, type Trouble } from './trouble';

const ADDRESS = '/whip';
/** Where datagrams get through, the connection is there in a fraction of this. */
const CONNECTED_MS = 8_000;
/** What the network does for so long is left to itself. */
const BROKEN_MS = 500;
/** Of the bitrate that was chosen, this much is sent at once; the rest once it is known that it arrives. */
const START_SHARE = 0.6;
const BACKOFF = { base_ms: 500, max_ms: 5_000, factor: 1.7, jitter: 0.2 };

export interface Sending {
  kind: Kind;
  choice: Choice;
  video: MediaStreamTrack;
  audio: MediaStreamTrack | null;
}

export interface SenderEvents {
  live(): void;
  reconnecting(): void;
  /** It is over; null when the broadcast was ended elsewhere. */
  over(trouble: Trouble | null): void;
}

export interface SenderPorts {
  key: string;
  /** Whether the broadcast has ended, as far as the server says. */
  isOver(): Promise<boolean>;
}

export class Sender {
  #connection: RTCPeerConnection | null = null;
  #session: string | null = null;
  #answer = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #wasLive = false;
  #stopped = false;

  constructor(
    private sending: Sending,
    private readonly ports: SenderPorts,
    private readonly events: SenderEvents,
  ) {}

  start(): void {
    void this.#open();
  }

  /** Ends the broadcast. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const [session, connection] = [this.#session, this.#connection];
    this.#session = this.#connection = null;
    if (session === null) connection?.close();
    else void end(session, this.ports.key).then(() => connection?.close());
  }

  /** Other pictures, other sound, or sent otherwise; nobody has to connect anew. */
  async change(sending: Sending): Promise<void> {
    this.sending = sending;
    for (const { sender } of this.#connection?.getTransceivers() ?? []) {
      const kind = sender.track?.kind;
      if (kind === 'audio') await sender.replaceTrack(sending.audio);
      if (kind !== 'video') continue;
      await sender.replaceTrack(sending.video);
      await this.#setEncoding(sender);
    }
  }

  stats(): Promise<RTCStatsReport> | null {
    return this.#connection?.getStats() ?? null;
  }

  async #open(): Promise<void> {
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    this.#watch(connection);
    try {
      this.#addTracks(connection);
      const { sdp = '' } = await connection.createOffer();
      const answered = await offer(ADDRESS, sdp, this.ports.key);
      if (this.#connection !== connection) {
        // Only a stop lets go of it meanwhile.
        await end(answered.session, this.ports.key);
        return;
      }
      this.#session = answered.session;
      const { sound, bitrate_kbps } = this.sending.choice;
      const answer = startingAt(answered.sdp, Math.round(bitrate_kbps * START_SHARE));
      this.#answer = sound === 'voice' ? withoutStereo(answer) : answer;
      await connect(connection, sdp, { ...answered, sdp: this.#answer });
      // The server's leave is heard here; the connection itself would go on asking for it.
      const transport = connection.getSenders()[0]?.transport;
      transport?.addEventListener('statechange', () => {
        if (transport.state === 'closed' && this.#connection === connection) void this.#onDismissed();
      });
      this.#timer = setTimeout(() => this.#onBroken('unreachable'), CONNECTED_MS);
    } catch (error) {
      if (this.#connection === connection) this.#onBroken(error instanceof Refused ? troubleOfAnswer(error.code) : 'server');
    }
  }

  #addTracks(connection: RTCPeerConnection): void {
    const { kind, choice, video, audio } = this.sending;
    const sendEncodings = [this.#encoding()];
    const transceiver = connection.addTransceiver(video, { direction: 'sendonly', sendEncodings });
    transceiver.setCodecPreferences?.(preferred(RTCRtpSender.getCapabilities('video')?.codecs ?? []));
    video.contentHint = kind === 'screen' ? 'detail' : 'motion';
    void this.#setEncoding(transceiver.sender);
    if (audio === null) return;
    audio.contentHint = choice.sound === 'voice' ? 'speech' : 'music';
    connection.addTransceiver(audio, { direction: 'sendonly', sendEncodings: [{ maxBitrate: soundBitrate(choice.sound) }] });
  }

  #encoding(): RTCRtpEncodingParameters {
    const { kind, choice, video } = this.sending;
    return encodingOf(kind, choice, video.getSettings().height ?? 0);
  }

  /** Text that cannot be read is worth nothing, and a face that stands still is worth little. */
  async #setEncoding(sender: RTCRtpSender): Promise<void> {
    const parameters = sender.getParameters();
    const [encoding] = parameters.encodings;
    if (!encoding) return;
    Object.assign(encoding, this.#encoding());
    const degradationPreference = this.sending.kind === 'screen' ? 'maintain-resolution' : 'balanced';
    await sender.setParameters(Object.assign(parameters, { degradationPreference })).catch(() => undefined);
  }

  #watch(connection: RTCPeerConnection): void {
    connection.addEventListener('connectionstatechange', () => {
      if (this.#connection !== connection) return;
      switch (connection.connectionState) {
        case 'connected':
          clearTimeout(this.#timer);
          this.#failures = 0;
          this.#wasLive = true;
          return this.events.live();
        case 'disconnected':
          this.events.reconnecting();
          clearTimeout(this.#timer);
          this.#timer = setTimeout(() => void this.#restart(connection), BROKEN_MS);
          return;
        case 'failed':
          return this.#onBroken('unreachable');
        default:
          return;
      }
    });
  }

  /** The same session over another path, such as after a change of network. */
  async #restart(connection: RTCPeerConnection): Promise<void> {
    const session = this.#session;
    if (session === null) return;
    try {
      await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }));
      const answer = renamed(this.#answer, await restart(session, fragmentOf(connection.localDescription?.sdp ?? ''), this.ports.key));
      if (this.#connection !== connection) return;
      if (answer === null) return this.#onBroken('server');
      this.#answer = answer;
      await connection.setRemoteDescription({ type: 'answer', sdp: answer });
      this.#timer = setTimeout(() => this.#onBroken('unreachable'), CONNECTED_MS);
    } catch {
      // The session is gone, or so is the way to the server.
      if (this.#connection === connection) this.#onBroken('server');
    }
  }

  /** The server let go: the broadcast is over, or the server is about to be. */
  async #onDismissed(): Promise<void> {
    const over = await this.ports.isOver().catch(() => false);
    if (this.#stopped) return;
    if (over) this.#finish(null);
    else this.#onBroken('server');
  }

  #onBroken(trouble: Trouble): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#connection = this.#session = null;
    if (!this.#wasLive || !passes(trouble)) return this.#finish(trouble);
    this.events.reconnecting();
    this.#failures += 1;
    this.#timer = setTimeout(() => void this.#open(), backoffDelay(BACKOFF, this.#failures, Math.random()));
  }

  #finish(trouble: Trouble | null): void {
    this.stop();
    this.events.over(trouble);
  }
}
