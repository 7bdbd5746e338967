//! mpegts.js tuned for being near to live. `pace.ts` keeps the distance.

import type Mpegts from 'mpegts.js';

export const FLV_CONFIG: Mpegts.Config = {
  // FLV is only wrapped anew, so a worker would add a hop, and a blob: URL to the CSP.
  enableWorker: false,
  // Each frame goes to the decoder as it comes.
  enableStashBuffer: false,
  lazyLoad: false,
  // Nobody seeks back.
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 20,
  autoCleanupMinBackwardDuration: 10,
};
