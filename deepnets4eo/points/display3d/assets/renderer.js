// Draws points and lines into the pixels of a canvas with a depth buffer: no WebGL, so that it works in every browser.
class Renderer {
  constructor(canvas, size) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.size = size;
    this.reset();
  }

  reset() {
    const [x, y, z] = this.size;
    this.target = [x / 2, y / 2, z / 4];
    this.distance = 1.05 * Math.hypot(x, y, z);
    this.turn = -0.6;
    this.rise = 0.65;
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

  // Axes of the camera: right, down and forward, and the eye.
  pose() {
    const [cosTurn, sinTurn, cosRise, sinRise] =
      [Math.cos(this.turn), Math.sin(this.turn), Math.cos(this.rise), Math.sin(this.rise)];
    const forward = [sinTurn * cosRise, cosTurn * cosRise, -sinRise];
    const right = [cosTurn, -sinTurn, 0];
    const down = [-sinTurn * sinRise, -cosTurn * sinRise, -cosRise];
    const eye = this.target.map((value, axis) => value - forward[axis] * this.distance);
    return { forward, right, down, eye, focal: 1.1 * Math.max(this.image.width, this.image.height) };
  }

  project(pose, x, y, z) {
    const [a, b, c] = [x - pose.eye[0], y - pose.eye[1], z - pose.eye[2]];
    const depth = a * pose.forward[0] + b * pose.forward[1] + c * pose.forward[2];
    const scale = pose.focal / depth;
    return [
      this.image.width / 2 + scale * (a * pose.right[0] + b * pose.right[1]),
      this.image.height / 2 + scale * (a * pose.down[0] + b * pose.down[1] + c * pose.down[2]),
      depth,
    ];
  }

  draw(points, lines) {
    this.fit();
    this.pixels.fill(0xff1b130d);
    this.depth.fill(Infinity);
    const pose = this.pose();
    this.drawPoints(pose, points);
    for (const line of lines) this.drawLine(pose, line);
    this.context.putImageData(this.image, 0, 0);
  }

  // points: xyz (Uint16Array of steps), step (metres), colours (Uint32Array), shown (Uint8Array by class), classes
  drawPoints(pose, { xyz, step, colours, shown, classes }) {
    const { width, height } = this.image;
    const { pixels, depth } = this;
    const [fx, fy, fz] = pose.forward, [rx, ry] = pose.right, [dx, dy, dz] = pose.down, [ex, ey, ez] = pose.eye;
    const nearest = this.distance * 0.02;
    const dot = Math.sqrt((this.size[0] * this.size[1]) / Math.max(classes.length, 1)) * 1.5;
    for (let i = 0, j = 0; i < classes.length; i++, j += 3) {
      if (!shown[classes[i]]) continue;
      const a = xyz[j] * step - ex, b = xyz[j + 1] * step - ey, c = xyz[j + 2] * step - ez;
      const away = a * fx + b * fy + c * fz;
      if (away < nearest) continue;
      const scale = pose.focal / away;
      const column = width / 2 + scale * (a * rx + b * ry), row = height / 2 + scale * (a * dx + b * dy + c * dz);
      const side = Math.min(8, Math.max(1, Math.round(scale * dot)));
      const left = Math.max(0, Math.round(column - side / 2)), top = Math.max(0, Math.round(row - side / 2));
      const right = Math.min(width, left + side), bottom = Math.min(height, top + side);
      for (let y = top; y < bottom; y++) {
        for (let x = left, at = y * width + left; x < right; x++, at++) {
          if (away < depth[at]) {
            depth[at] = away;
            pixels[at] = colours[i];
          }
        }
      }
    }
  }

  // line: [x0, y0, z0, x1, y1, z1, colour, thick]
  drawLine(pose, [x0, y0, z0, x1, y1, z1, colour, thick]) {
    const { width, height } = this.image;
    const from = this.project(pose, x0, y0, z0), to = this.project(pose, x1, y1, z1);
    const nearest = this.distance * 0.02;
    if (from[2] < nearest || to[2] < nearest) return;
    const steps = Math.min(4000, Math.ceil(Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1)));
    for (let k = 0; k <= steps; k++) {
      const share = k / steps;
      const x = Math.round(from[0] + (to[0] - from[0]) * share), y = Math.round(from[1] + (to[1] - from[1]) * share);
      const away = (from[2] + (to[2] - from[2]) * share) * 0.985; // in front of the points of its own wall
      for (let dy = 0; dy <= thick; dy++) {
        for (let dx = 0; dx <= thick; dx++) {
          if (x + dx < 0 || y + dy < 0 || x + dx >= width || y + dy >= height) continue;
          const at = (y + dy) * width + x + dx;
          if (away < this.depth[at]) {
            this.depth[at] = away;
            this.pixels[at] = colour;
          }
        }
      }
    }
  }
}
