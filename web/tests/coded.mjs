// Frames whose pixels carry the time at which they were sent, and how they are read back in the page.

import { ENCODE, ffmpeg, SOUND } from './server.mjs';

export const FPS = 30;
const WIDTH = 640;
const HEIGHT = 360;
/** So many frames until ffmpeg reads steadily. */
const BEGINNING = 5;
/** 32 bits of time, then 8 of checksum, in blocks that survive an encoder. */
const COLUMNS = 10;
const ROWS = 4;
export const CODE = { columns: COLUMNS, rows: ROWS, width: WIDTH, height: HEIGHT };

/** Arguments of ffmpeg for frames from its standard input. */
export function codedInput() {
  const video = ['-f', 'rawvideo', '-pixel_format', 'gray', '-video_size', `${WIDTH}x${HEIGHT}`, '-framerate', String(FPS), '-i', 'pipe:0'];
  return ['-fflags', 'nobuffer', '-probesize', '32', ...video, ...SOUND, ...ENCODE.video, ...ENCODE.audio];
}

/**
 * One frame each 1/FPS s; one that is late is followed by the next at its own time. ffmpeg needs a moment to begin: what it
 * does not take at once until then is not sent at all, as a camera would not, instead of in one burst.
 */
export function sendFrames(publisher, note = () => {}) {
  const began = performance.now();
  const pipe = publisher.child.stdin;
  pipe.on('error', () => {});
  let next = 0;
  let sent = 0;
  let timer;
  const send = () => {
    while (performance.now() - began >= (next * 1000) / FPS) {
      next += 1;
      if (pipe.writableLength > 0 && sent < BEGINNING) continue;
      sent += 1;
      const stamp = Date.now();
      note(stamp);
      pipe.write(codedFrame(stamp));
    }
    timer = setTimeout(send, (next * 1000) / FPS - (performance.now() - began));
  };
  send();
  return () => {
    clearTimeout(timer);
    pipe.end();
  };
}

/** A publisher of such frames. */
export function publishCoded(server) {
  const one = ffmpeg([...codedInput(), ...['-f', 'flv', server.publishUrl]], { stdin: 'pipe' });
  const stop = sendFrames(one);
  return {
    ...one,
    async stop() {
      stop();
      await one.stop();
    },
  };
}

function codedFrame(stamp) {
  const low = stamp % 2 ** 32;
  const bits = [...low.toString(2).padStart(32, '0'), ...checksum(low).toString(2).padStart(8, '0')];
  const frame = Buffer.alloc(WIDTH * HEIGHT);
  const across = WIDTH / COLUMNS;
  const down = HEIGHT / ROWS;
  for (let row = 0; row < ROWS; row += 1) {
    const line = Buffer.alloc(WIDTH);
    for (let column = 0; column < COLUMNS; column += 1) {
      line.fill(bits[row * COLUMNS + column] === '1' ? 235 : 16, column * across, (column + 1) * across);
    }
    for (let y = row * down; y < (row + 1) * down; y += 1) line.copy(frame, y * WIDTH);
  }
  return frame;
}

function checksum(low) {
  return (low ^ (low >>> 8) ^ (low >>> 16) ^ (low >>> 24) ^ 0x5a) & 0xff;
}

/**
 * Before the page's own code: its camera gives such frames, each with the time at which it was taken, and a tone beside them.
 * They go on their way at once, as a camera's do; a canvas would hold each until the page is drawn.
 */
export function installCamera({ columns, rows, fps, camera }) {
  const take = (writer) => {
    const canvas = new OffscreenCanvas(camera.width, camera.height);
    const drawing = canvas.getContext('2d');
    const [across, down] = [camera.width / columns, camera.height / rows];
    setInterval(() => {
      const low = Date.now() % 2 ** 32;
      const check = (low ^ (low >>> 8) ^ (low >>> 16) ^ (low >>> 24) ^ 0x5a) & 0xff;
      const bits = low.toString(2).padStart(32, '0') + check.toString(2).padStart(8, '0');
      for (let i = 0; i < columns * rows; i += 1) {
        drawing.fillStyle = bits[i] === '1' ? '#ebebeb' : '#101010';
        drawing.fillRect((i % columns) * across, Math.floor(i / columns) * down, across, down);
      }
      const frame = new VideoFrame(canvas, { timestamp: performance.now() * 1000 });
      void writer.write(frame).catch(() => frame.close());
    }, 1000 / fps);
  };
  navigator.mediaDevices.getUserMedia = async ({ video, audio }) => {
    const stream = new MediaStream();
    if (video) {
      const track = new MediaStreamTrackGenerator({ kind: 'video' });
      take(track.writable.getWriter());
      stream.addTrack(track);
    }
    if (audio) {
      const sound = new AudioContext();
      const tone = new OscillatorNode(sound, { frequency: 330 });
      const to = sound.createMediaStreamDestination();
      tone.connect(to);
      tone.start();
      stream.addTrack(to.stream.getAudioTracks()[0]);
    }
    return stream;
  };
}

/** Before the page's own code: how the frame is read that a video shows, as the time on it modulo 2^32 ms. */
export function installReader({ columns, rows, width, height }) {
  const canvas = new OffscreenCanvas(columns * 4, rows * 4);
  const drawing = canvas.getContext('2d', { willReadFrequently: true });
  globalThis.readCode = (video) => {
    // A pixel for each block would average over its edges; four by four leaves the middle clean.
    drawing.drawImage(video, 0, 0, width, height, 0, 0, canvas.width, canvas.height);
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    let low = 0;
    let check = 0;
    for (let i = 0; i < columns * rows; i += 1) {
      const x = (i % columns) * 4 + 2;
      const y = Math.floor(i / columns) * 4 + 2;
      const bit = data[(y * canvas.width + x) * 4] > 127 ? 1 : 0;
      if (i < 32) low = (low * 2 + bit) % 2 ** 32;
      else check = check * 2 + bit;
    }
    return check === ((low ^ (low >>> 8) ^ (low >>> 16) ^ (low >>> 24) ^ 0x5a) & 0xff) ? low : null;
  };
}

/** In the page: reads every frame that is shown, and what the page says of its delay. */
export function readFrames(seconds) {
  const video = document.querySelector('video');
  const player = document.querySelector('[data-state]');
  const shown = [];
  const told = [];
  let frames = 0;
  const until = performance.now() + seconds * 1000;
  return new Promise((resolve) => {
    const read = () => {
      const now = Date.now();
      frames += 1;
      const code = globalThis.readCode(video);
      if (code !== null) {
        shown.push((((now % 2 ** 32) - code) + 2 ** 32) % 2 ** 32);
        told.push(Number(player.dataset.delayMs));
      }
      if (performance.now() < until) video.requestVideoFrameCallback(read);
      else resolve({ shown, told, frames });
    };
    video.requestVideoFrameCallback(read);
  });
}

/**
 * Before the page's own code: notes where the playhead is, by the time on the pictures, when somebody says something and when
 * a danmaku is drawn. Between two pictures it moves with the element's clock, however few of them are drawn here.
 */
export function notePictures() {
  globalThis.pictures = { said: [], drawn: [] };
  let last = null;
  const read = (now, { mediaTime }) => {
    const video = document.querySelector('video');
    const code = globalThis.readCode(video);
    if (code !== null) last = { code, mediaTime };
    video.requestVideoFrameCallback(read);
  };
  addEventListener('playing', ({ target }) => last ?? target.requestVideoFrameCallback(read), { capture: true, once: true });
  const shown = () => {
    const { srcObject, currentTime } = document.querySelector('video');
    // Over WebRTC the element's clock is not that of its pictures.
    return Math.round(last.code + (srcObject ? 0 : currentTime - last.mediaTime) * 1000);
  };
  const say = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (typeof data === 'string' && data.includes('"t":"send"')) globalThis.pictures.said.push(shown());
    return say.call(this, data);
  };
  const known = new WeakSet();
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (image, ...rest) {
    if (this.canvas.matches?.('.danmaku') && !known.has(image)) {
      known.add(image);
      globalThis.pictures.drawn.push(shown());
    }
    return draw.call(this, image, ...rest);
  };
}
