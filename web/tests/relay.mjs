// A stretch of the way for datagrams, between a browser and the server: it takes its time, loses some, and can be broken.

import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

/** Settings of a server whose datagrams go through a relay. Peers on this machine are told 127.0.0.1, where the relay is. */
export const BEHIND = { 'webrtc.listen': '127.0.0.2:0', 'webrtc.public_addresses': '["192.0.2.1"]' };

/**
 * Hands on datagrams for a server behind it, `delay_ms` later and in order. Of each direction, `loss` is the share that gets
 * lost, the same in each run: `seed` says which.
 */
export async function relay(server, { delay_ms = 0, loss = 0, seed = 1 } = {}) {
  const { webrtc } = JSON.parse(readFileSync(join(server.directory, 'runtime.json'), 'utf8'));
  const front = createSocket('udp4');
  const behind = new Map();
  const there = stretch(delay_ms, loss, seed);
  const back = stretch(delay_ms, loss, seed + 1);
  let broken = false;
  front.on('message', (message, { address, port }) => {
    if (broken) return;
    const name = `${address}:${port}`;
    if (!behind.has(name)) {
      const own = createSocket('udp4');
      own.on('message', (answer) => broken || back.take(() => front.send(answer, port, address)));
      behind.set(name, own);
    }
    there.take(() => behind.get(name).send(message, webrtc.port, '127.0.0.2'));
  });
  await new Promise((resolve) => front.bind(webrtc.port, '127.0.0.1', resolve));
  return {
    break: () => (broken = true),
    mend: () => (broken = false),
    counts: () => ({ there: there.counts, back: back.counts }),
    close() {
      broken = true;
      there.close();
      back.close();
      front.close();
      for (const own of behind.values()) own.close();
    },
  };
}

/** One direction. */
function stretch(delay_ms, loss, seed) {
  const dice = numbers(seed);
  const counts = { taken: 0, lost: 0 };
  const waiting = [];
  let timer = null;
  const release = () => {
    timer = null;
    const now = performance.now();
    while (waiting.length > 0 && waiting[0].due <= now) waiting.shift().send();
    if (waiting.length > 0) timer = setTimeout(release, waiting[0].due - now);
  };
  return {
    counts,
    take(send) {
      counts.taken += 1;
      if (dice() < loss) {
        counts.lost += 1;
      } else if (delay_ms === 0) {
        send();
      } else {
        waiting.push({ due: performance.now() + delay_ms, send });
        timer ??= setTimeout(release, delay_ms);
      }
    },
    close() {
      clearTimeout(timer);
      waiting.length = 0;
    },
  };
}

/** Numbers from 0 to 1 by xorshift, the same for the same seed. */
function numbers(seed) {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** Hands on connections to a server behind it; datagrams get lost. */
export async function relayStreams(server) {
  const { webrtc } = JSON.parse(readFileSync(join(server.directory, 'runtime.json'), 'utf8'));
  const lost = createSocket('udp4');
  await new Promise((resolve) => lost.bind(webrtc.port, '127.0.0.1', resolve));
  const sockets = new Set();
  const front = createServer((socket) => {
    const behind = connect(webrtc.port, '127.0.0.2');
    for (const [one, other] of [[socket, behind], [behind, socket]]) {
      sockets.add(one);
      one.setNoDelay(true).on('error', () => other.destroy()).on('close', () => sockets.delete(one)).pipe(other);
    }
  });
  await new Promise((resolve) => front.listen(webrtc.port, '127.0.0.1', resolve));
  return {
    close() {
      lost.close();
      front.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
