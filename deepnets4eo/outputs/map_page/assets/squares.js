// Very many objects at once: squares that show how many there are and the shares of their classes, counted anew for each view.

const SQUARE_PX = 9; // smallest side on the screen; twice that at most
const CELLS = 256; // along the longer side of the image

// The objects by where their middles lie, so that a view looks only at those near it.
class Neighbours {
  constructor({ count, cx, cy, rings, boxes }) {
    const { width, height } = page.frame;
    this.boxes = boxes;
    this.side = Math.max(width, height) / CELLS;
    this.columns = Math.ceil(width / this.side);
    this.rows = Math.ceil(height / this.side);
    this.reach = 0; // farthest that an object lies from its middle
    const cell = new Int32Array(count), size = new Uint32Array(this.columns * this.rows + 1);
    for (let i = 0; i < count; i++) {
      cell[i] = rings[i] ? this.row(cy[i]) * this.columns + this.column(cx[i]) : -1;
      if (cell[i] < 0) continue;
      size[cell[i] + 1]++;
      const b = 4 * i;
      this.reach = Math.max(this.reach, boxes[b + 2] - cx[i], cx[i] - boxes[b], boxes[b + 3] - cy[i], cy[i] - boxes[b + 1]);
    }
    for (let k = 1; k < size.length; k++) size[k] += size[k - 1];
    this.start = size;
    this.members = new Uint32Array(size.at(-1));
    this.found = new Uint32Array(size.at(-1));
    const next = size.slice();
    for (let i = 0; i < count; i++) if (cell[i] >= 0) this.members[next[cell[i]]++] = i;
  }

  column(col) { return Math.min(Math.max(Math.floor(col / this.side), 0), this.columns - 1); }
  row(row) { return Math.min(Math.max(Math.floor(row / this.side), 0), this.rows - 1); }

  // Those of the shown ones whose boxes touch a rectangle, until the next call; those of a row of cells lie side by side.
  within(left, top, right, bottom, shown) {
    const first = this.column(left - this.reach), last = this.column(right + this.reach), until = this.row(bottom + this.reach);
    const { boxes, found, members, start, columns } = this;
    let count = 0;
    for (let row = this.row(top - this.reach); row <= until; row++) {
      for (let k = start[row * columns + first]; k < start[row * columns + last + 1]; k++) {
        const i = members[k], b = 4 * i;
        if (shown[i] && boxes[b] <= right && boxes[b + 2] >= left && boxes[b + 1] <= bottom && boxes[b + 3] >= top) found[count++] = i;
      }
    }
    return found.subarray(0, count);
  }
}

// The squares that came with the page, of the whole scene; null for few objects. Counts are row by row, a number a class.
const overview = () => page.objects.squares;

// Squares of a power of two of pixels, so that they stay where they are while the view moves.
function counted(store, members, view) {
  const side = 2 ** Math.ceil(Math.log2(SQUARE_PX / Math.min(view.scaleX, view.scaleY)));
  const left = Math.floor(view.toCol(0) / side), top = Math.floor(view.toRow(0) / side);
  const columns = Math.floor(view.toCol(view.width) / side) - left + 1, rows = Math.floor(view.toRow(view.height) / side) - top + 1;
  const many = classes.length, counts = new Uint32Array(columns * rows * many);
  for (const i of members) {
    const column = Math.floor(store.cx[i] / side) - left, row = Math.floor(store.cy[i] / side) - top;
    if (column >= 0 && column < columns && row >= 0 && row < rows) counts[(row * columns + column) * many + store.class[i]]++;
  }
  return { side, left, top, columns, counts, many };
}

// Squares within squares: each covers the share of its class and of those after it in `DRAWN`. With fewer objects they are smaller.
function drawSquares(context, view, squares) {
  if (!squares) return;
  const { side, left, top, columns, counts, many } = squares, sums = [];
  for (let k = 0; k < counts.length; k += many) sums.push(counts.slice(k, k + many).reduce((sum, one) => sum + one, 0));
  const most = sums.reduce((a, b) => Math.max(a, b), 1), rest = sums.slice();
  for (const index of DRAWN.filter((one) => one < many)) { // the last classes may be missing where they have no objects
    context.fillStyle = rgba(index, 0.9);
    sums.forEach((sum, k) => {
      if (!counts[k * many + index]) return;
      const size = side * (0.4 + 0.55 * Math.sqrt(sum / most)) * Math.sqrt(rest[k] / sum);
      const x = view.toScreenX((left + (k % columns) + 0.5) * side - size / 2), y = view.toScreenY((top + Math.floor(k / columns) + 0.5) * side - size / 2);
      context.fillRect(x, y, size * view.scaleX, size * view.scaleY);
      rest[k] -= counts[k * many + index];
    });
  }
}
