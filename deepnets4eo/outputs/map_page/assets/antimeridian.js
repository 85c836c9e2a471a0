// Longitudes within ±180, and polygons cut in two where they cross the 180th meridian, as RFC 7946 wants them.

// Times round the earth that a longitude lies away from those of −180 to 180.
const turnsOf = (lon) => Math.floor((lon + 180) / 360);

// A polygon (an outer ring, counterclockwise, and its holes, clockwise, not closed) in degrees that may run on past 180, as
// polygons within ±180.
function cutAtAntimeridian(rings) {
  const [low, high] = rings[0].reduce(([least, most], [lon]) => [Math.min(least, lon), Math.max(most, lon)], [Infinity, -Infinity]);
  const turns = turnsOf(low), seam = 360 * turns + 180;
  const turned = (polygon, by) => polygon.map((ring) => ring.map(([lon, lat]) => [lon - 360 * by, lat]));
  if (high <= seam) return [turned(rings, turns)];
  return [false, true].flatMap((east) => sideOf(rings, seam, east).map((polygon) => turned(polygon, turns + east)));
}

// What of a polygon lies west or east of a meridian that it crosses. Along the meridian the polygon ends where it begins
// again next, from south to north: this joins the pieces of its rings, those of holes too.
function sideOf(rings, seam, east) {
  const pieces = [], holes = [];
  for (const ring of rings) {
    const parts = piecesOf(ring, seam, east);
    if (parts) pieces.push(...parts);
    else if (ring[0][0] >= seam === east) holes.push(ring);
  }
  const starts = [...pieces].sort((a, b) => a[0][1] - b[0][1]), ends = [...pieces].sort((a, b) => a.at(-1)[1] - b.at(-1)[1]);
  const next = new Map(ends.map((piece, k) => [piece, starts[k]]));
  const polygons = [];
  for (const first of pieces) {
    let outer = [];
    for (let piece = first, after; (after = next.get(piece)); piece = after) {
      outer = outer.concat(piece);
      next.delete(piece);
    }
    if (Math.abs(areaOf(outer)) > 0) polygons.push([outer]);
  }
  for (const hole of holes) polygons.find(([outer]) => lies(hole, outer))?.push(hole);
  return polygons;
}

// The pieces of a ring on one side of a meridian, each from crossing to crossing; null where it does not cross.
function piecesOf(ring, seam, east) {
  const within = ([lon]) => lon >= seam === east;
  const first = ring.findIndex((point, k) => within(point) && !within(ring.at(k - 1)));
  if (first < 0) return null;
  const pieces = [];
  let before = ring.at(first - 1);
  for (const point of [...ring.slice(first), ...ring.slice(0, first)]) {
    if (within(point) !== within(before)) {
      const crossing = [seam, before[1] + ((seam - before[0]) / (point[0] - before[0])) * (point[1] - before[1])];
      if (within(point)) pieces.push([crossing]);
      else pieces.at(-1).push(crossing);
    }
    if (within(point)) pieces.at(-1).push(point);
    before = point;
  }
  return pieces;
}
