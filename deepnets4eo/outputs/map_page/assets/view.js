// Where the panels look: one view for both, so that they always show the same place at the same scale.

// The part of the image with objects in it, or all of it where there are none: what a fresh view shows.
function objectsBox({ box }, frame) {
  if (!box) return { x: frame.width / 2, y: frame.height / 2, width: frame.width, height: frame.height };
  const [left, top, right, bottom] = box;
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: Math.max(right - left, 32), height: Math.max(bottom - top, 32) };
}

const FILLED = 0.94; // of a panel, by the part of the scene that is shown

class View {
  constructor(frame, objects) {
    this.frame = frame;
    const [rowM, colM] = frame.gsd, unit = Math.min(rowM, colM);
    this.aspectX = colM / unit; // pixels that are not square on the ground are drawn as they lie there
    this.aspectY = rowM / unit;
    this.metresPerUnit = unit;
    this.width = this.height = 1;
    this.whole = { x: frame.width / 2, y: frame.height / 2, width: frame.width, height: frame.height };
    this.objects = objects;
    this.fitted = objects; // the rectangle that is kept in sight when the panel's size changes
    this.x = frame.width / 2;
    this.y = frame.height / 2;
    this.scale = 1; // CSS pixels per unit
    this.changed = () => {};
  }

  get scaleX() { return this.scale * this.aspectX; }
  get scaleY() { return this.scale * this.aspectY; }
  toScreenX(col) { return (col - this.x) * this.scaleX + this.width / 2; }
  toScreenY(row) { return (row - this.y) * this.scaleY + this.height / 2; }
  toCol(x) { return (x - this.width / 2) / this.scaleX + this.x; }
  toRow(y) { return (y - this.height / 2) / this.scaleY + this.y; }

  limited(scale) { return Math.min(Math.max(scale, this.scaleFor(this.whole) * 0.5), 24); }
  // Round a part of the scene a little of its neighbourhood is shown; the whole of it has none.
  scaleFor(rectangle) {
    const { width, height } = rectangle, filled = rectangle === this.whole ? 1 : FILLED;
    return Math.min(this.width / (width * this.aspectX), this.height / (height * this.aspectY)) * filled;
  }

  resize(width, height) {
    this.width = Math.max(width, 1);
    this.height = Math.max(height, 1);
    if (this.fitted) this.fit(this.fitted);
    else this.set(this.x, this.y, this.scale);
  }

  // Never smaller than the whole scene fits, and no room is lost beyond the image's edge.
  fit(rectangle) {
    this.stop();
    this.fitted = rectangle;
    const scale = Math.max(this.scaleFor(rectangle), this.scaleFor(this.whole)), { width, height } = this.frame;
    const inside = (at, side, half) => (2 * half >= side ? side / 2 : Math.min(Math.max(at, half), side - half));
    this.set(inside(rectangle.x, width, this.width / scale / this.aspectX / 2), inside(rectangle.y, height, this.height / scale / this.aspectY / 2), scale);
  }

  set(x, y, scale) {
    this.scale = this.limited(scale);
    this.x = Math.min(Math.max(x, 0), this.frame.width);
    this.y = Math.min(Math.max(y, 0), this.frame.height);
    this.changed();
  }

  pan(dx, dy) {
    this.stop();
    this.set(this.x - dx / this.scaleX, this.y - dy / this.scaleY, this.scale);
  }

  zoomAt(x, y, factor) {
    this.stop();
    const col = this.toCol(x), row = this.toRow(y);
    const scale = this.limited(this.scale * factor);
    this.set(
      col - (x - this.width / 2) / (scale * this.aspectX),
      row - (y - this.height / 2) / (scale * this.aspectY),
      scale,
    );
  }

  // Glide to a place; at once where motion is unwelcome.
  fly(x, y, scale) {
    this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.set(x, y, scale);
    const from = [this.x, this.y, Math.log(this.scale)], to = [x, y, Math.log(scale)], start = performance.now();
    const step = (now) => {
      const t = Math.min((now - start) / 260, 1), eased = 1 - (1 - t) ** 3;
      const [px, py, ps] = from.map((value, k) => value + (to[k] - value) * eased);
      this.set(px, py, Math.exp(ps));
      this.frameRequest = t < 1 ? requestAnimationFrame(step) : 0;
    };
    this.frameRequest = requestAnimationFrame(step);
  }

  stop() {
    this.fitted = null;
    if (this.frameRequest) cancelAnimationFrame(this.frameRequest);
    this.frameRequest = 0;
  }
}
