// Something handsome to broadcast for the screenshots: an evening over hills, drawn here so that it is ours.

const SKY = [[0, [24, 24, 58]], [0.34, [74, 48, 104]], [0.58, [190, 86, 104]], [0.74, [244, 158, 104]], [0.86, [252, 206, 142]]];
const SUN = { x: 0.63, y: 0.6, radius: 0.07, color: [255, 236, 198] };
/** From far to near: where the ridge runs, how high its hills are, its colour. */
const RIDGES = [
  { y: 0.7, hills: [[0.042, 1.7, 0.4], [0.016, 5.1, 2.2], [0.004, 19, 1]], color: [168, 84, 110] },
  { y: 0.77, hills: [[0.05, 1.2, 2.9], [0.018, 4.3, 0.7], [0.005, 17, 4]], color: [112, 58, 98] },
  { y: 0.845, hills: [[0.045, 1.5, 5.2], [0.02, 3.9, 3.1], [0.005, 23, 2]], color: [62, 38, 78] },
  { y: 0.92, hills: [[0.05, 1.1, 1.2], [0.014, 4.7, 5], [0.004, 29, 0]], color: [26, 21, 48] },
];

/** One frame as rgb24. */
export function evening(width, height) {
  const frame = Buffer.alloc(width * height * 3);
  for (let px = 0; px < width; px += 1) {
    const x = px / width;
    const ridges = RIDGES.map(({ y, hills }) => y - hills.reduce((sum, [high, often, from]) => sum + high * Math.sin(x * often * 2 * Math.PI + from), 0));
    for (let py = 0; py < height; py += 1) {
      const y = py / height;
      let color = sky(y);
      const distance = Math.hypot((x - SUN.x) * (width / height), y - SUN.y);
      color = mix(color, SUN.color, 0.55 * Math.exp(-distance * 5));
      color = mix(color, SUN.color, edge(SUN.radius - distance, height));
      RIDGES.forEach((ridge, i) => {
        // Mist gathers at the foot of each ridge.
        const foot = mix(ridge.color, SKY[3][1], Math.min(0.28, Math.max(0, (y - ridges[i]) * 1.6)) * (1 - i / RIDGES.length));
        color = mix(color, foot, edge(y - ridges[i], height));
      });
      color.forEach((value, i) => (frame[(py * width + px) * 3 + i] = Math.round(value)));
    }
  }
  return frame;
}

function sky(y) {
  const above = SKY.findLast(([from]) => from <= y);
  const below = SKY.find(([from]) => from > y);
  return below ? mix(above[1], below[1], (y - above[0]) / (below[0] - above[0])) : above[1];
}

function mix(one, other, share) {
  return one.map((value, i) => value + (other[i] - value) * share);
}

/** 0 outside, 1 inside, and one pixel's worth between. */
function edge(inside, height) {
  return Math.min(1, Math.max(0, inside * height + 0.5));
}
