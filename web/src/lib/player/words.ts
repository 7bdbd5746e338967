//! How the page calls the ways in which a picture comes, and what it says when one took over from another.

import type { MessageKey } from '../i18n/catalogue';
import type { Stats } from './engine';
import type { Descent } from './ladder';

/** Names of protocols, the same in every language. */
export const WAYS: Readonly<Record<Stats['protocol'], string>> = {
  webrtc: 'WebRTC',
  'll-hls': 'LL-HLS',
  hls: 'HLS',
  'ws-flv': 'FLV · WebSocket',
  'http-flv': 'FLV · HTTP',
};

export function descentKey(descent: Descent): MessageKey {
  return descent.from === 'webrtc' ? 'player.descent.webrtc' : `player.descent.low.${descent.to}`;
}

export function whyKey(descent: Descent): MessageKey {
  return descent.from === 'webrtc' ? `player.descent.webrtc.${descent.why}` : `player.descent.low.${descent.why}`;
}
