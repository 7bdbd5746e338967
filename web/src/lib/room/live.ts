//! What the room's core needs to know of the API's stream. Pure.

import type { Stream } from '../api';
import type { Live } from './core';

export function liveOf(stream: Stream): Live {
  return {
    broadcastId: stream.broadcast_id,
    waiting: stream.state === 'waiting',
    hasAudio: stream.audio !== null,
    source: stream.playback,
  };
}
