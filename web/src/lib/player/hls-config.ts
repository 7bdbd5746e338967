//! hls.js tuned for a second of delay and for playing on through an outage.

import type { HlsConfig, LoadPolicy } from 'hls.js';

const retry = { maxNumRetry: 6, retryDelayMs: 300, maxRetryDelayMs: 3_000, backoff: 'exponential' } as const;

/** A blocking playlist reload is held by the server up to three target durations, hence the long first byte. */
const playlist: LoadPolicy = {
  default: { maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000, timeoutRetry: { ...retry, retryDelayMs: 0 }, errorRetry: retry },
};

const media: LoadPolicy = {
  default: { maxTimeToFirstByteMs: 8_000, maxLoadTimeMs: 20_000, timeoutRetry: { ...retry, retryDelayMs: 0 }, errorRetry: retry },
};

export const HLS_CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // fMP4 needs no transmuxing, so a worker would only add a hop (and a blob: URL to the CSP).
  enableWorker: false,
  backBufferLength: 30,
  maxBufferLength: 20,
  maxMaxBufferLength: 40,
  // pace.ts keeps the distance from live.
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0,
  liveDurationInfinity: true,
  manifestLoadPolicy: playlist,
  playlistLoadPolicy: playlist,
  fragLoadPolicy: media,
  // A gap after an outage is skipped, not waited for.
  nudgeMaxRetry: 8,
  enableInterstitialPlayback: false,
  enableDateRangeMetadataCues: false,
  enableEmsgMetadataCues: false,
  enableID3MetadataCues: false,
  enableWebVTT: false,
  enableIMSC1: false,
  enableCEA708Captions: false,
};
