// Objects drawn over the images. Each class has a style: dash and width of its line, opacity of its fill, width and opacity of
// its dots, and how much of its pie is filled (null: unknown).

const DOT_PX = 7; // smaller objects become dots
const FILL_BELOW_PX = 30; // where the median object is larger, all are left open, so that the image can be seen
const BADGE_ABOVE_PX = 34;
const CHUNK = 200; // one path of very many polygons is slow to fill

function pathOf(rings, view) {
  const path = new Path2D();
  for (const ring of rings) {
    ring.forEach(([col, row], k) => (k ? path.lineTo : path.moveTo).call(path, view.toScreenX(col), view.toScreenY(row)));
    path.closePath();
  }
  return path;
}

// Grey lines for ground that the image shows and that has no outline.
let hatch = null;
function hatching(context) {
  if (!hatch) {
    const tile = document.createElement("canvas"), side = 10;
    [tile.width, tile.height] = [side, side];
    const brush = tile.getContext("2d");
    for (const [style, width] of [["rgba(0,0,0,.35)", 2.5], ["rgba(255,255,255,.55)", 1]]) {
      brush.strokeStyle = style;
      brush.lineWidth = width;
      brush.beginPath();
      for (const shift of [-side, 0, side]) { brush.moveTo(shift, side); brush.lineTo(shift + side, 0); }
      brush.stroke();
    }
    hatch = context.createPattern(tile, "repeat");
  }
  return hatch;
}

class Outlines {
  // What can be drawn before the objects are there.
  constructor() {
    this.together = Boolean(overview()); // whether the last drawing shows squares instead of single objects
  }

  load(store) {
    this.store = store;
    this.shown = new Uint8Array(store.count).fill(1);
    this.neighbours = new Neighbours(store);
    const sizes = Float32Array.from({ length: store.count }, (_, i) => Math.max(store.boxes[4 * i + 2] - store.boxes[4 * i], 0)).sort();
    this.median = sizes[store.count >> 1] ?? 0;
  }

  // Everything in view; the last of `DRAWN` lies on top.
  draw(context, view) {
    this.lines(context, view);
    if (!this.store) return drawSquares(context, view, overview());
    const members = this.neighbours.within(view.toCol(0), view.toRow(0), view.toCol(view.width), view.toRow(view.height), this.shown);
    this.together = members.length > page.objects.mostSingle;
    if (this.together) return drawSquares(context, view, counted(this.store, members, view));
    for (const index of DRAWN) this.drawClass(context, view, index, members.filter((i) => this.store.class[i] === index));
    context.setLineDash([]);
  }

  drawClass(context, view, index, members) {
    const { boxes } = this.store, { least, dots } = STYLES[index], large = [];
    context.fillStyle = rgba(index, dots);
    for (const i of members) {
      const b = 4 * i, w = (boxes[b + 2] - boxes[b]) * view.scaleX, h = (boxes[b + 3] - boxes[b + 1]) * view.scaleY;
      if (Math.max(w, h) >= DOT_PX) { large.push(i); continue; }
      const dw = Math.max(w, least), dh = Math.max(h, least);
      const x = view.toScreenX((boxes[b] + boxes[b + 2]) / 2), y = view.toScreenY((boxes[b + 1] + boxes[b + 3]) / 2);
      context.fillRect(x - dw / 2, y - dh / 2, dw, dh);
    }
    this.drawLarge(context, view, index, large);
  }

  drawLarge(context, view, index, members) {
    const { dash, width, fill: opacity } = STYLES[index], fill = this.median * view.scale < FILL_BELOW_PX ? opacity : 0;
    for (let start = 0; start < members.length; start += CHUNK) {
      const all = new Path2D();
      for (const i of members.slice(start, start + CHUNK)) this.trace(all, view, i);
      context.fillStyle = rgba(index, fill);
      if (fill) context.fill(all, "evenodd");
      context.setLineDash([]);
      context.strokeStyle = "rgba(0,0,0,.55)";
      context.lineWidth = width + 1.5;
      context.stroke(all);
      context.setLineDash(dash);
      context.strokeStyle = rgba(index, 1);
      context.lineWidth = width;
      context.stroke(all);
    }
    context.setLineDash([]);
    if (classes.length < 2) return; // nothing to tell apart
    for (const i of members) if (this.size(view, i) > BADGE_ABOVE_PX) this.badge(context, view, i);
  }

  size(view, i) {
    const b = this.store.boxes.subarray(4 * i, 4 * i + 4);
    return Math.max((b[2] - b[0]) * view.scaleX, (b[3] - b[1]) * view.scaleY);
  }

  trace(path, view, i) {
    const { firstRing, ringStart, xs, ys } = this.store;
    for (let ring = firstRing[i]; ring < firstRing[i + 1]; ring++) {
      for (let k = ringStart[ring]; k < ringStart[ring + 1]; k++) {
        const x = view.toScreenX(xs[k]), y = view.toScreenY(ys[k]);
        if (k === ringStart[ring]) path.moveTo(x, y);
        else path.lineTo(x, y);
      }
      path.closePath();
    }
  }

  badge(context, view, i) {
    const b = this.store.boxes.subarray(4 * i, 4 * i + 4), index = this.store.class[i], radius = 6, { filled } = STYLES[index];
    const x = view.toScreenX(b[2]), y = view.toScreenY(b[1]);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = "rgba(15,18,24,.92)";
    context.fill();
    context.strokeStyle = rgba(index, 1);
    context.lineWidth = 2;
    context.stroke();
    if (!filled) return;
    context.beginPath();
    context.moveTo(x, y);
    context.arc(x, y, radius, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * filled);
    context.fillStyle = rgba(index, 1);
    context.fill();
  }

  // Ground without outlines, and borders, as far as their layers are shown.
  lines(context, view) {
    const shown = page.lines.filter((one) => one.visible);
    context.fillStyle = hatching(context);
    context.fill(pathOf(shown.flatMap(({ hatched }) => hatched), view), "evenodd");
    const path = pathOf(shown.flatMap(({ dashed }) => dashed), view);
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0,0,0,.5)";
    context.stroke(path);
    context.setLineDash([8, 5]);
    context.lineWidth = 1.5;
    context.strokeStyle = "rgba(255,255,255,.9)";
    context.stroke(path);
    context.setLineDash([]);
  }

  select(context, view, i) {
    const path = new Path2D();
    this.trace(path, view, i);
    const small = this.size(view, i) < DOT_PX;
    if (small) path.arc(view.toScreenX(centre(this.store, i)[0]), view.toScreenY(centre(this.store, i)[1]), 9, 0, 2 * Math.PI);
    for (const [width, style] of [[7, "rgba(0,0,0,.6)"], [4.5, "#fff"], [2, rgba(this.store.class[i], 1)]]) {
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke(path);
    }
  }

  // The object under a point, the smallest first; a few pixels of tolerance help fingers and dots.
  at(view, x, y, tolerancePx) {
    const { boxes } = this.store, col = view.toCol(x), row = view.toRow(y);
    const tx = tolerancePx / view.scaleX, ty = tolerancePx / view.scaleY;
    let found = -1, best = Infinity;
    for (const i of this.neighbours.within(col - tx, row - ty, col + tx, row + ty, this.shown)) {
      const b = 4 * i, [cx, cy] = centre(this.store, i), area = (boxes[b + 2] - boxes[b]) * (boxes[b + 3] - boxes[b + 1]);
      const distance = this.inside(i, col, row) ? area * 1e-6 : 1e3 + (cx - col) ** 2 + (cy - row) ** 2;
      if (distance < best) { best = distance; found = i; }
    }
    return found;
  }

  inside(i, col, row) {
    const { firstRing, ringStart, xs, ys } = this.store;
    let odd = false;
    for (let ring = firstRing[i]; ring < firstRing[i + 1]; ring++) {
      const start = ringStart[ring], end = ringStart[ring + 1];
      for (let k = start, j = end - 1; k < end; j = k++) {
        const crosses = ys[k] > row !== ys[j] > row;
        if (crosses && col < ((xs[j] - xs[k]) * (row - ys[k])) / (ys[j] - ys[k]) + xs[k]) odd = !odd;
      }
    }
    return odd;
  }
}
