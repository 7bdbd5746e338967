//! How much media lies ahead of the picture.

/** A seek may land this much before a frame. */
const TOLERANCE_S = 0.1;

export function bufferedAhead({ buffered, currentTime }: HTMLVideoElement): number {
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + TOLERANCE_S && buffered.end(i) > currentTime) return buffered.end(i) - currentTime;
  }
  return 0;
}
