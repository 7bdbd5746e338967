// A test picture with a tone, made once by ffmpeg, cut into the fragments an LL-HLS packager would publish as parts.
// The loop is exactly 16 s of video and of audio, so that it can be repeated for as long as a test runs.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const LOOP_S = 16;
export const VIDEO = { codec: 'avc1.64001f', width: 1280, height: 720, fps: 30, gop_s: 2 };
export const AUDIO = { codec: 'mp4a.40.2', sample_rate: 48_000, channels: 2 };

const SPLIT = ['-movflags', '+empty_moov+default_base_moof+negative_cts_offsets', '-f', 'mp4'];

/** `{ video, audio }`, each `{ init, timescale, parts: [{ bytes, start_s, duration_s, key }] }` covering one loop. */
export function makeMedia() {
  const dir = mkdtempSync(join(tmpdir(), 'barrage-media-'));
  try {
    const video = join(dir, 'video.mp4');
    const audio = join(dir, 'audio.mp4');
    const scene = [
      `gradients=s=1280x720:r=30:d=${LOOP_S}:c0=0x16213e:c1=0x0f3460:c2=0x533483:c3=0xe94560:n=4:speed=0.02:seed=7`,
      "drawtext=text='%{pts\\:hms}':fontcolor=white:fontsize=56:x=(w-tw)/2:y=(h-th)/2:box=1:boxcolor=black@0.35:boxborderw=18",
    ].join(',');
    ffmpeg('-f', 'lavfi', '-i', scene, '-t', String(LOOP_S), '-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'zerolatency',
      '-profile:v', 'high', '-level', '3.1', '-pix_fmt', 'yuv420p', '-b:v', '1500k', '-g', '60', '-keyint_min', '60', '-sc_threshold', '0',
      '-frag_duration', '190000', ...SPLIT, video);
    ffmpeg('-f', 'lavfi', '-i', `sine=f=330:r=48000:d=${LOOP_S + 1}`, '-af', 'volume=-18dB', '-ac', '2', '-c:a', 'aac', '-b:a', '96k',
      '-frag_duration', '200000', ...SPLIT, audio);
    return { video: readTrack(video), audio: readTrack(audio) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function ffmpeg(...args) {
  execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function readTrack(path) {
  const file = readFileSync(path);
  const boxes = [...boxesIn(file, 0, file.length)];
  const init = Buffer.concat(boxes.filter((box) => box.type === 'ftyp' || box.type === 'moov').map((box) => file.subarray(box.start, box.end)));
  const mdhd = find(file, boxes.find((box) => box.type === 'moov'), ['trak', 'mdia', 'mdhd']);
  const timescale = file.readUInt32BE(mdhd.body + (file[mdhd.body] === 1 ? 20 : 12));
  const parts = [];
  let start_s = 0;
  for (let i = 0; i < boxes.length; i += 1) {
    if (boxes[i].type !== 'moof') continue;
    const bytes = Buffer.from(file.subarray(boxes[i].start, boxes[i + 1].end));
    const duration_s = durationOf(bytes) / timescale;
    if (start_s + duration_s > LOOP_S + 0.001) break;
    parts.push({ bytes, start_s, duration_s, key: Math.abs(start_s - Math.round(start_s / VIDEO.gop_s) * VIDEO.gop_s) < 0.001 });
    start_s += duration_s;
  }
  if (Math.abs(start_s - LOOP_S) > 0.001) throw new Error(`the loop of ${path} is ${start_s} s long`);
  return { init, timescale, parts };
}

/** The same fragment at another time of the track. */
export function retimed(bytes, time) {
  const copy = Buffer.from(bytes);
  const moof = [...boxesIn(copy, 0, copy.length)].find((box) => box.type === 'moof');
  const tfdt = find(copy, moof, ['traf', 'tfdt']);
  if (copy[tfdt.body] === 1) copy.writeBigUInt64BE(BigInt(Math.round(time)), tfdt.body + 4);
  else copy.writeUInt32BE(Math.round(time), tfdt.body + 4);
  return copy;
}

function durationOf(fragment) {
  const moof = [...boxesIn(fragment, 0, fragment.length)].find((box) => box.type === 'moof');
  const tfhd = find(fragment, moof, ['traf', 'tfhd']);
  const tfhdFlags = fragment.readUInt32BE(tfhd.body) & 0xffffff;
  let at = tfhd.body + 8 + (tfhdFlags & 0x1 ? 8 : 0) + (tfhdFlags & 0x2 ? 4 : 0);
  const fallback = tfhdFlags & 0x8 ? fragment.readUInt32BE(at) : 0;
  const trun = find(fragment, moof, ['traf', 'trun']);
  const flags = fragment.readUInt32BE(trun.body) & 0xffffff;
  const count = fragment.readUInt32BE(trun.body + 4);
  if (!(flags & 0x100)) return count * fallback;
  at = trun.body + 8 + (flags & 0x1 ? 4 : 0) + (flags & 0x4 ? 4 : 0);
  const size = 4 * [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length;
  let total = 0;
  for (let i = 0; i < count; i += 1) total += fragment.readUInt32BE(at + i * size);
  return total;
}

function find(buffer, box, path) {
  return path.reduce((parent, type) => [...boxesIn(buffer, parent.body, parent.end)].find((child) => child.type === type), box);
}

function* boxesIn(buffer, from, to) {
  for (let at = from; at + 8 <= to; ) {
    const size = buffer.readUInt32BE(at);
    yield { type: buffer.toString('latin1', at + 4, at + 8), start: at, body: at + 8, end: at + size };
    at += size;
  }
}
