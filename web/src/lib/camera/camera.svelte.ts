//! Going live from this browser: what is in front of the camera, and where it is on its way out. It outlives the studio's
//! pages: a broadcast goes on while its streamer looks at others of ours, in the same tab.

import { getChannel } from '../api';
import { getKeys, showKey } from '../api/channel';
import { remember, remembered } from '../settings';
import { likeliestKey } from '../studio/keys';
import { bitrateOf, sentOf, troubleOf, type Sent, type Trouble as PathTrouble } from './health';
import { Mixer } from './mixer';
import { DEFAULT, parseChoice, pictureConstraints, soundConstraints, usualBitrate, type Choice, type Kind } from './picture';
import { Sender } from './sender';
import { troubleOfDevice, type Trouble } from './trouble';

export type Phase = 'off' | 'opening' | 'ready' | 'connecting' | 'live' | 'reconnecting';

export interface Device {
  id: string;
  label: string;
}

/** Chosen instead of a microphone. */
export const NO_MICROPHONE = 'none';

const LOOK_MS = 1_000;

class Camera {
  phase = $state<Phase>('off');
  kind = $state<Kind>('camera');
  choice = $state.raw<Choice>(DEFAULT);
  trouble = $state.raw<Trouble | null>(null);
  cameras = $state.raw<Device[]>([]);
  microphones = $state.raw<Device[]>([]);
  /** Which is in use; null is the browser's own choice. */
  cameraId = $state<string | null>(null);
  microphoneId = $state<string | null>(null);
  /** What is seen of it here, without its sound. */
  preview = $state.raw<MediaStream | null>(null);
  hasSound = $state(false);
  sent = $state.raw<Sent | null>(null);
  bitrate_bps = $state<number | null>(null);
  pathTrouble = $state.raw<PathTrouble | null>(null);
  /** When it went live, in Unix milliseconds. */
  liveSince = $state<number | null>(null);

  #picture: MediaStreamTrack | null = null;
  #mixer: Mixer | null = null;
  #sender: Sender | null = null;
  #looking: ReturnType<typeof setInterval> | undefined;
  #limitedSince: number | null = null;

  constructor() {
    this.choice = parseChoice(remembered('camera'));
  }

  /** Browsers give a camera away only over https, and on the machine itself. */
  get allowed(): boolean {
    return isSecureContext && 'mediaDevices' in navigator && 'RTCPeerConnection' in globalThis;
  }

  get isOut(): boolean {
    return this.phase === 'connecting' || this.phase === 'live' || this.phase === 'reconnecting';
  }

  level(): number {
    return this.#mixer?.level() ?? 0;
  }

  /** Turns the camera on, or asks for a screen. */
  async open(kind: Kind): Promise<void> {
    if (this.phase === 'off') this.phase = 'opening';
    this.trouble = null;
    try {
      const stream = kind === 'camera' ? await this.#askCamera() : await this.#askScreen();
      const [picture] = stream.getVideoTracks();
      if (!picture) throw new DOMException('no picture', 'NotFoundError');
      this.kind = kind;
      await this.#take(picture, stream.getAudioTracks()[0] ?? null);
    } catch (error) {
      this.trouble = troubleOfDevice(kind, error instanceof DOMException ? error.name : '');
    }
    if (this.phase === 'opening') this.phase = this.#picture ? 'ready' : 'off';
    await this.listDevices();
  }

  close(): void {
    this.stop();
    this.#picture?.stop();
    this.#mixer?.close();
    this.#picture = this.#mixer = null;
    this.preview = null;
    this.hasSound = false;
    this.phase = 'off';
    this.trouble = null;
  }

  async useCamera(id: string | null): Promise<void> {
    this.cameraId = id;
    if (this.kind === 'camera' && this.#picture) await this.open('camera');
  }

  async useMicrophone(id: string | null): Promise<void> {
    this.microphoneId = id;
    // What is not on yet is asked for when it is turned on.
    if (this.#picture) await this.#askMicrophone();
  }

  /** Of what is sent; another size takes another bitrate with it. */
  async choose(change: Partial<Choice>): Promise<void> {
    const next = { ...this.choice, ...change };
    if (change.size !== undefined || change.fps !== undefined) next.bitrate_kbps = usualBitrate(next.size, next.fps);
    this.choice = next;
    remember('camera', JSON.stringify(next));
    // A camera that cannot gives what is nearest.
    await this.#picture?.applyConstraints(pictureConstraints(this.kind, next, null)).catch(() => undefined);
    if (change.sound !== undefined && this.#mixer?.has('microphone')) await this.#askMicrophone();
    await this.#changed();
  }

  async listDevices(): Promise<void> {
    const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    // Without a permission they have no names, and cannot be chosen from.
    const of = (kind: MediaDeviceKind): Device[] =>
      all.filter((one) => one.kind === kind && one.label !== '').map(({ deviceId, label }) => ({ id: deviceId, label }));
    this.cameras = of('videoinput');
    this.microphones = of('audioinput');
  }

  async goLive(handle: string): Promise<void> {
    const picture = this.#picture;
    if (picture === null || this.isOut) return;
    this.phase = 'connecting';
    this.trouble = null;
    let key: string;
    try {
      const found = likeliestKey(await getKeys(handle));
      if (found === null) return this.#over('no_key');
      key = (await showKey(handle, found.id)).secret;
    } catch {
      return this.#over('server');
    }
    // Somebody may have turned the camera off meanwhile.
    if (this.phase !== 'connecting' || this.#picture === null) return;
    const isOver = async (): Promise<boolean> => (await getChannel(handle, AbortSignal.timeout(5_000))).body.live === null;
    this.#sender = new Sender(this.#sending(this.#picture), { key, isOver }, {
      live: () => {
        this.phase = 'live';
        this.liveSince ??= Date.now();
      },
      reconnecting: () => (this.phase = 'reconnecting'),
      over: (trouble) => this.#over(trouble),
    });
    this.#sender.start();
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
    addEventListener('beforeunload', askFirst);
    addEventListener('pagehide', this.#onPageHide);
  }

  /** Ends the broadcast; the camera stays on. */
  stop(): void {
    this.#sender?.stop();
    this.#over(null);
  }

  #over(trouble: Trouble | null): void {
    this.#sender = null;
    clearInterval(this.#looking);
    removeEventListener('beforeunload', askFirst);
    removeEventListener('pagehide', this.#onPageHide);
    this.sent = this.bitrate_bps = this.pathTrouble = this.liveSince = null;
    this.#limitedSince = null;
    if (this.isOut) this.phase = this.#picture ? 'ready' : 'off';
    if (trouble) this.trouble = trouble;
  }

  #onPageHide = (): void => this.stop();

  async #askCamera(): Promise<MediaStream> {
    const video = pictureConstraints('camera', this.choice, this.cameraId);
    if (this.microphoneId === NO_MICROPHONE) return navigator.mediaDevices.getUserMedia({ video });
    const audio = soundConstraints(this.choice.sound, this.microphoneId);
    try {
      return await navigator.mediaDevices.getUserMedia({ video, audio });
    } catch (error) {
      // One of the two is missing: a picture without sound is better than neither.
      if (!(error instanceof DOMException) || error.name !== 'NotFoundError') throw error;
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      this.trouble = 'no_microphone';
      return stream;
    }
  }

  async #askScreen(): Promise<MediaStream> {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: pictureConstraints('screen', this.choice, null), audio });
    this.#mix().put('screen', stream.getAudioTracks()[0] ?? null);
    if (!this.#mixer?.has('microphone')) await this.#askMicrophone();
    return new MediaStream(stream.getVideoTracks());
  }

  async #askMicrophone(): Promise<void> {
    const mixer = this.#mix();
    if (this.microphoneId === NO_MICROPHONE) mixer.put('microphone', null);
    else {
      try {
        const audio = soundConstraints(this.choice.sound, this.microphoneId);
        const [track] = (await navigator.mediaDevices.getUserMedia({ audio })).getAudioTracks();
        mixer.put('microphone', track ?? null);
        if (this.trouble === 'no_microphone') this.trouble = null;
      } catch {
        this.trouble = 'no_microphone';
      }
    }
    this.#countInputs();
  }

  #mix(): Mixer {
    this.#mixer ??= new Mixer();
    return this.#mixer;
  }

  async #take(picture: MediaStreamTrack, sound: MediaStreamTrack | null): Promise<void> {
    const before = this.#picture;
    this.#picture = picture;
    const mixer = this.#mix();
    if (this.kind === 'camera') {
      mixer.put('screen', null);
      if (sound) mixer.put('microphone', sound);
      this.cameraId = picture.getSettings().deviceId ?? this.cameraId;
      this.microphoneId ??= sound?.getSettings().deviceId ?? null;
    }
    this.#countInputs();
    this.preview = new MediaStream([picture]);
    picture.addEventListener('ended', () => this.#onGone(picture));
    before?.stop();
    await this.#changed();
  }

  /** Unplugged, or not shared any more: the browser's own button does that as well. */
  #onGone(picture: MediaStreamTrack): void {
    if (this.#picture !== picture) return;
    const { kind } = this;
    this.close();
    this.trouble = kind === 'screen' ? 'unshared' : 'gone';
  }

  #countInputs(): void {
    this.hasSound = this.#mixer !== null && (this.#mixer.has('microphone') || this.#mixer.has('screen'));
  }

  async #changed(): Promise<void> {
    if (this.#picture && this.#sender) await this.#sender.change(this.#sending(this.#picture));
  }

  #sending(video: MediaStreamTrack): ConstructorParameters<typeof Sender>[0] {
    return { kind: this.kind, choice: this.choice, video, audio: this.#mixer?.track ?? null };
  }

  async #look(): Promise<void> {
    const sender = this.#sender;
    const report = await sender?.stats();
    if (!report || this.#sender !== sender || this.phase !== 'live') return;
    const sent = sentOf(performance.now(), report.values());
    this.bitrate_bps = bitrateOf(this.sent, sent);
    this.#limitedSince = sent.limited === null ? null : (this.#limitedSince ?? sent.at);
    this.pathTrouble = troubleOf(sent, this.#limitedSince === null ? 0 : sent.at - this.#limitedSince);
    this.sent = sent;
  }
}

function askFirst(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

export const camera = new Camera();
