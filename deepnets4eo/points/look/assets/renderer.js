const MARGIN = 1.04; // of the distance, for the squares of the outermost points

// Draws points into the pixels of a canvas with a depth buffer; without WebGL, so that it works where there is no graphics card.
class Renderer {
  constructor(canvas, size) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.size = size;
    this.reset();
  }

  // Looks at the middle from such a distance that the whole box is in the picture, whatever its shape.
  reset(turn = -0.6, rise = 0.65) {
    [this.turn, this.rise, this.distance] = [turn, rise, 0];
    this.target = this.size.map((side) => side / 2);
    this.fit();
    const { forward, right, down, focal } = this.pose(), dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    for (let corner = 0; corner < 8; corner++) {
      const from = this.size.map((side, axis) => (corner >> axis & 1 ? side : -side) / 2);
      const aside = Math.max(Math.abs(dot(from, right)) / this.image.width, Math.abs(dot(from, down)) / this.image.height);
      this.distance = Math.max(this.distance, MARGIN * (2 * focal * aside - dot(from, forward)));
    }
  }

  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 1.5);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.image && this.image.width === width && this.image.height === height) return;
    [this.canvas.width, this.canvas.height] = [width, height];
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.depth = new Float32Array(width * height);
  }

  // Axes of the camera: right, down and forward; where it stands; and its focal length in pixels.
  pose() {
    const [cosTurn, sinTurn, cosRise, sinRise] =
      [Math.cos(this.turn), Math.sin(this.turn), Math.cos(this.rise), Math.sin(this.rise)];
    const forward = [sinTurn * cosRise, cosTurn * cosRise, -sinRise];
    const right = [cosTurn, -sinTurn, 0];
    const down = [-sinTurn * sinRise, -cosTurn * sinRise, -cosRise];
    const eye = this.target.map((value, axis) => value - forward[axis] * this.distance);
    return { forward, right, down, eye, focal: 1.1 * Math.min(this.image.width, 1.4 * this.image.height) };
  }

  // xyz: planes of steps of `step` metres; colours: words; shown: by class.
  draw({ count, xyz, step, colours, shown, classes }) {
    this.fit();
    const { width, height } = this.image, { pixels, depth } = this;
    pixels.fill(0xff1b130d);
    depth.fill(Infinity);
    const pose = this.pose();
    const [fx, fy, fz] = pose.forward, [rx, ry] = pose.right, [dx, dy, dz] = pose.down, [ex, ey, ez] = pose.eye;
    const nearest = this.distance * 0.02;
    const dot = Math.sqrt((this.size[0] * this.size[1]) / count) * 1.5;
    const xs = xyz.subarray(0, count), ys = xyz.subarray(count, 2 * count), zs = xyz.subarray(2 * count);
    for (let i = 0; i < count; i++) {
      if (!shown[classes[i]]) continue;
      const a = xs[i] * step - ex, b = ys[i] * step - ey, c = zs[i] * step - ez;
      const away = a * fx + b * fy + c * fz;
      if (away < nearest) continue;
      const scale = pose.focal / away;
      const side = Math.min(9, Math.max(1, Math.round(scale * dot)));
      const left = Math.round(width / 2 + scale * (a * rx + b * ry) - side / 2);
      const top = Math.round(height / 2 + scale * (a * dx + b * dy + c * dz) - side / 2);
      const right = Math.min(width, left + side), bottom = Math.min(height, top + side);
      for (let y = Math.max(0, top); y < bottom; y++) {
        for (let x = Math.max(0, left), at = y * width + x; x < right; x++, at++) {
          if (away < depth[at]) {
            depth[at] = away;
            pixels[at] = colours[i];
          }
        }
      }
    }
    this.shade();
    this.context.putImageData(this.image, 0, 0);
  }

  // Darkens what lies behind its neighbours, so that edges and heights show without light.
  shade() {
    const { width, height } = this.image, { pixels, depth } = this;
    const steps = [-2, 2, -2 * width, 2 * width];
    for (let at = 2 * width; at < width * (height - 2); at++) {
      const own = depth[at];
      if (own === Infinity) continue;
      let behind = 0;
      for (const step of steps) if (depth[at + step] < own) behind += own / depth[at + step] - 1;
      if (behind < 0.002) continue;
      const light = Math.max(0.25, 1 - 12 * behind), colour = pixels[at];
      pixels[at] = (0xff000000 | ((((colour >> 16) & 255) * light) << 16) | ((((colour >> 8) & 255) * light) << 8) | ((colour & 255) * light)) >>> 0;
    }
  }
}
