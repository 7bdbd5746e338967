//! How late a picture is that comes without a date: what came quickest tells how the stream's clock stands to ours.
//! Pure. What the quickest needed on its way is not in it; that is half a round trip.

export interface LiveEdge {
  /** The end of what has arrived, on the stream's clock. */
  readonly end_s: number;
  /** Our clock minus the stream's, at its least, in this stretch and in the one before. */
  readonly offset_s: number;
  readonly before_s: number;
  readonly since_ms: number;
}

/** Clocks drift and publishers come back a little later than they left: what is older than two of these is forgotten. */
const STRETCH_MS = 15_000;

export function onArrived(edge: LiveEdge | null, now: number, end_s: number): LiveEdge {
  const offset_s = now / 1000 - end_s;
  if (!edge) return { end_s, offset_s, before_s: offset_s, since_ms: now };
  // Nothing new: the older it gets the less it says.
  if (end_s === edge.end_s) return edge;
  if (now - edge.since_ms > STRETCH_MS) return { end_s, offset_s, before_s: edge.offset_s, since_ms: now };
  return { ...edge, end_s, offset_s: Math.min(edge.offset_s, offset_s) };
}

export function delayAt(edge: LiveEdge, now: number, picture_s: number): number {
  return Math.max(0, now - (picture_s + Math.min(edge.offset_s, edge.before_s)) * 1000);
}
