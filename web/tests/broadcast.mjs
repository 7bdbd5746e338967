// One live broadcast as LL-HLS: publishes the loop of media.mjs in real time, can lose its publisher and get it back
// (EXT-X-DISCONTINUITY), and answers blocking reloads.

import { randomUUID } from 'node:crypto';
import { AUDIO, LOOP_S, retimed, VIDEO } from './media.mjs';

const SEGMENT_S = 2;
const PART_TARGET_S = 0.22;
const HOLD_BACK_S = 0.66;
const WINDOW = 10;
const SEGMENTS_WITH_PARTS = 3;
const PRODUCE_EVERY_MS = 10;

export class Broadcast {
  id = randomUUID();
  startedAt = Date.now();
  publishing = true;
  #media;
  #tracks = {};
  #timer;
  #epoch;

  constructor(media, { video = true, audio = true } = {}) {
    this.#media = media;
    this.#epoch = Date.now();
    if (video) this.#addTrack('video');
    if (audio) this.#addTrack('audio');
    this.#timer = setInterval(() => this.#produce(), PRODUCE_EVERY_MS);
  }

  get hasAudio() {
    return this.#tracks.audio !== undefined;
  }

  addAudio() {
    this.#addTrack('audio');
    const video = this.#tracks.video;
    const audio = this.#tracks.audio;
    audio.segments = [{ ...newSegment(video.segments.at(-1).msn), pdt: Date.now() }];
    audio.next = audioPartAt(this.#media.audio, (Date.now() - this.#epoch) / 1000);
  }

  losePublisher() {
    this.publishing = false;
  }

  returnPublisher() {
    this.#epoch = Date.now();
    const tracks = Object.values(this.#tracks);
    const msn = Math.max(...tracks.map((track) => track.segments.at(-1).msn)) + 1;
    for (const track of tracks) {
      track.next = 0;
      track.segments.at(-1).complete = true;
      track.segments.push({ ...newSegment(msn), discontinuity: true });
    }
    this.publishing = true;
  }

  end() {
    this.publishing = false;
    clearInterval(this.#timer);
    this.ended = true;
    for (const track of Object.values(this.#tracks)) {
      track.segments.at(-1).complete = true;
      wake(track);
    }
  }

  /** `null` when there is no such thing. */
  async answer(path, query, closed) {
    if (path === 'index.m3u8') return playlist(this.#multivariant());
    const match = /^(video|audio)\/(?:(index\.m3u8)|(init)\.mp4|(\d+)(?:\.(\d+))?\.m4s)$/.exec(path);
    const track = match && this.#tracks[match[1]];
    if (!track) return null;
    if (match[3]) return { type: 'video/mp4', body: this.#media[match[1]].init };
    if (match[2]) {
      const msn = query.get('_HLS_msn');
      if (msn !== null) await this.#until(track, Number(msn), Number(query.get('_HLS_part') ?? -1), closed);
      return playlist(this.#mediaPlaylist(track));
    }
    const msn = Number(match[4]);
    if (match[5] !== undefined) await this.#until(track, msn, Number(match[5]), closed);
    const segment = track.segments.find((one) => one.msn === msn);
    if (!segment) return null;
    const bytes = match[5] === undefined ? Buffer.concat(segment.parts.map((part) => part.bytes)) : segment.parts[Number(match[5])]?.bytes;
    return bytes ? { type: 'video/mp4', body: bytes } : null;
  }

  #addTrack(kind) {
    this.#tracks[kind] = { kind, segments: [newSegment(0)], next: 0, waiters: new Set() };
  }

  #produce() {
    if (!this.publishing) return;
    const elapsed_s = (Date.now() - this.#epoch) / 1000;
    for (const track of Object.values(this.#tracks)) {
      const { parts, timescale } = this.#media[track.kind];
      for (;;) {
        const loop = Math.floor(track.next / parts.length);
        const part = parts[track.next % parts.length];
        const start_s = loop * LOOP_S + part.start_s;
        if (start_s + part.duration_s > elapsed_s) break;
        let segment = track.segments.at(-1);
        const due = track.kind === 'video' ? part.key : Math.floor(start_s / SEGMENT_S + 1e-6) > Math.floor((segment.start_s ?? start_s) / SEGMENT_S + 1e-6);
        if (due && segment.parts.length > 0) {
          segment.complete = true;
          segment = newSegment(segment.msn + 1);
          track.segments.push(segment);
          if (track.segments.length > WINDOW) track.segments.shift();
        }
        segment.start_s ??= start_s;
        segment.pdt ??= this.#epoch + start_s * 1000;
        // The media's own clock goes on through an outage, as the server's does.
        const time_s = (this.#epoch - this.startedAt) / 1000 + start_s;
        segment.parts.push({ bytes: retimed(part.bytes, time_s * timescale), duration_s: part.duration_s, independent: track.kind === 'audio' || part.key });
        track.next += 1;
        wake(track);
      }
    }
  }

  #until(track, msn, part, closed) {
    const there = () => {
      const last = track.segments.at(-1);
      if (this.ended || last.msn > msn) return true;
      return last.msn === msn && (part < 0 ? last.complete === true : last.parts.length > part);
    };
    return new Promise((resolve) => {
      if (there()) return resolve();
      const done = () => {
        clearTimeout(deadline);
        track.waiters.delete(look);
        resolve();
      };
      const look = () => there() && done();
      const deadline = setTimeout(done, 3 * SEGMENT_S * 1000);
      track.waiters.add(look);
      closed(done);
    });
  }

  #multivariant() {
    if (!this.#tracks.video) return ['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-INDEPENDENT-SEGMENTS', `#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS="${AUDIO.codec}"`, 'audio/index.m3u8'];
    const codecs = [VIDEO.codec, ...(this.hasAudio ? [AUDIO.codec] : [])].join(',');
    return [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      '#EXT-X-INDEPENDENT-SEGMENTS',
      ...(this.hasAudio ? ['#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio/index.m3u8"'] : []),
      `#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=${VIDEO.width}x${VIDEO.height},FRAME-RATE=${VIDEO.fps.toFixed(3)},CODECS="${codecs}"${this.hasAudio ? ',AUDIO="audio"' : ''}`,
      'video/index.m3u8',
    ];
  }

  #mediaPlaylist(track) {
    const { segments } = track;
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      '#EXT-X-TARGETDURATION:2',
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${HOLD_BACK_S},HOLD-BACK=6`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_TARGET_S}`,
      `#EXT-X-MEDIA-SEQUENCE:${segments[0].msn}`,
      '#EXT-X-DISCONTINUITY-SEQUENCE:0',
      '#EXT-X-MAP:URI="init.mp4"',
    ];
    segments.forEach((segment, index) => {
      if (segment.parts.length === 0) return;
      if (segment.discontinuity) lines.push('#EXT-X-DISCONTINUITY');
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.pdt).toISOString()}`);
      if (index >= segments.length - SEGMENTS_WITH_PARTS) {
        segment.parts.forEach((part, i) =>
          lines.push(`#EXT-X-PART:DURATION=${part.duration_s.toFixed(5)},URI="${segment.msn}.${i}.m4s"${part.independent ? ',INDEPENDENT=YES' : ''}`),
        );
      }
      if (segment.complete) {
        lines.push(`#EXTINF:${segment.parts.reduce((sum, part) => sum + part.duration_s, 0).toFixed(5)},`, `${segment.msn}.m4s`);
      }
    });
    const last = segments.at(-1);
    if (this.ended) lines.push('#EXT-X-ENDLIST');
    else if (!last.complete) lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${last.msn}.${last.parts.length}.m4s"`);
    return lines;
  }
}

function newSegment(msn) {
  return { msn, parts: [] };
}

function wake(track) {
  for (const look of [...track.waiters]) look();
}

function audioPartAt({ parts }, elapsed_s) {
  const loop = Math.floor(elapsed_s / LOOP_S);
  const within = parts.findIndex((part) => part.start_s + part.duration_s > elapsed_s - loop * LOOP_S);
  return loop * parts.length + Math.max(0, within);
}

function playlist(lines) {
  return { type: 'application/vnd.apple.mpegurl', body: `${lines.join('\n')}\n` };
}
