// The image panels: tiles from coarse to fine under one shared drawing of the objects.

const QUICK_MS = 14; // a slower drawing is stretched while the view moves and drawn anew when it rests

const DETAIL = 5; // [col, row, width, height, WebP] of a coarse tile; a detail has one more

// The edges of a tile on the screen.
const onScreen = ([col, row, width, height], view) => ({
  left: view.toScreenX(col), top: view.toScreenY(row), right: view.toScreenX(col + width), bottom: view.toScreenY(row + height),
});

class Panels {
  constructor(view, outlines) {
    this.view = view;
    this.outlines = outlines;
    this.sources = JSON.parse(document.getElementById("images").textContent);
    this.over = JSON.parse(document.getElementById("over").textContent); // rasters over the images, each shown or not
    this.swapped = false;
    this.visible = true;
    this.opacity = 1;
    this.selected = -1;
    this.overlay = document.createElement("canvas");
    this.overlayView = null;
    this.overlayMs = 0;
    this.host = document.getElementById("panels");
    this.panels = this.sources.map((source, number) => this.add(source, number));
    this.room = new Room(this.host, view, this.sources.length);
    new ResizeObserver(() => this.resize()).observe(this.host);
    new ResizeObserver(() => this.room.arrange()).observe(document.querySelector("main"));
    view.changed = () => this.request();
  }

  add(source, number) {
    const title = imageTitle(source);
    const canvas = make("canvas", {
      tabindex: "0", role: "application", "data-role": source.role,
      "aria-label": t`${title}. Arrow keys move, plus and minus zoom, N and P step through the listed ${OBJECTS}.`,
    });
    const cross = make("div", { class: "cross", "aria-hidden": "true", hidden: "" });
    const label = make("p", { class: "label" }, make("b", {}, title), make("span", {}, source.source));
    const figure = make("figure", { class: `panel ${source.role}` }, canvas, cross, label);
    if (number === this.sources.length - 1) figure.append(scaleBar("scale"), northArrow());
    this.host.append(figure);
    return { canvas, cross, label, figure };
  }

  resize() {
    this.room.arrange();
    const { clientWidth, clientHeight } = this.panels.at(-1).figure;
    if (!clientWidth || !clientHeight) return; // folded away, or printed: the view stays
    const ratio = Math.min(devicePixelRatio || 1, 2);
    for (const canvas of [...this.panels.map((panel) => panel.canvas), this.overlay]) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
    }
    this.ratio = ratio;
    this.overlayView = null;
    this.view.resize(clientWidth, clientHeight);
  }

  // A first picture, with the small images alone, before the objects are there: no image comes while these are unpacked. Hidden pages are not drawn.
  async appear() {
    const first = this.sources.map((source) => source.preview).filter(Boolean);
    first.forEach((tile) => this.image(tile));
    await Promise.all(first.map((tile) => tile.image.decode().then(() => { tile.ready = true; }, () => {}))); // what cannot be decoded stays away
    this.resize();
    if (!document.hidden) await new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); });
  }

  // The objects changed (filter, selection): draw them anew.
  refresh() {
    this.overlayView = null;
    this.request();
  }

  request() {
    this.pending ||= requestAnimationFrame(() => { this.pending = 0; this.draw(); });
  }

  draw() {
    if (!this.ratio) return; // not laid out yet
    this.updateOverlay();
    this.panels.forEach(({ canvas }, number) => {
      const context = canvas.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      context.clearRect(0, 0, this.view.width, this.view.height);
      const shown = this.swapped && this.sources.length > 1 ? 1 - number : number;
      this.drawImages(context, this.sources[shown], this.view);
      if (this.visible) this.drawOverlay(context);
      if (this.selected >= 0) this.outlines.select(context, this.view, this.selected);
    });
    updateScaleBar(document.getElementById("scale"), this.view);
    document.getElementById("together").hidden = !(this.visible && this.outlines.together);
    this.ondraw?.();
  }

  // Tiles of a view with their edges on the screen; asking for one's image loads it.
  *inSight(source, view) {
    const detailed = view.scaleX * source.coarse > 0.8; // from afar the coarse tiles are enough
    for (const tile of source.tiles) {
      if (tile.length > DETAIL && !detailed) continue;
      const box = onScreen(tile, view);
      if (box.right < 0 || box.bottom < 0 || box.left > view.width || box.top > view.height) continue;
      yield { image: this.image(tile), ...box };
    }
  }

  drawImages(context, source, view) {
    this.drawTiles(context, source, view);
    for (const over of this.over) if (over.visible) this.drawTiles(context, over, view);
  }

  drawTiles(context, source, view) {
    context.imageSmoothingQuality = "high";
    const tiles = [...this.inSight(source, view)], { preview } = source;
    if (preview && !tiles.every(({ image }) => image)) tiles.unshift({ image: this.image(preview), ...onScreen(preview, view) });
    for (const { image, left, top, right, bottom } of tiles) {
      if (!image) continue;
      context.imageSmoothingEnabled = (right - left) / image.naturalWidth < 4;
      const seam = 0.4; // neighbouring tiles overlap a little, so that no line shows between them
      context.drawImage(image, left, top, right - left + seam, bottom - top + seam);
    }
  }

  image(tile) {
    if (!tile.image) {
      tile.image = new Image();
      tile.image.onload = () => { tile.ready = true; this.request(); this.onimage?.(); };
      tile.image.src = "data:image/webp;base64," + tile[4];
    }
    return tile.ready ? tile.image : null;
  }

  updateOverlay() {
    if (!this.visible) return;
    const { x, y, scale } = this.view, drawn = this.overlayView;
    if (drawn && drawn.x === x && drawn.y === y && drawn.scale === scale) return;
    clearTimeout(this.idle);
    if (drawn && this.overlayMs > QUICK_MS) {
      this.idle = setTimeout(() => this.refresh(), 130);
      return;
    }
    const context = this.overlay.getContext("2d"), start = performance.now();
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.view.width, this.view.height);
    this.outlines.draw(context, this.view);
    this.overlayMs = performance.now() - start;
    this.overlayView = { x, y, scale };
  }

  drawOverlay(context) {
    const { view } = this, drawn = this.overlayView, factor = view.scale / drawn.scale;
    const left = (drawn.x - view.x) * view.scaleX + (view.width / 2) * (1 - factor);
    const top = (drawn.y - view.y) * view.scaleY + (view.height / 2) * (1 - factor);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.opacity;
    context.drawImage(this.overlay, left, top, view.width * factor, view.height * factor);
    context.globalAlpha = 1;
  }

  point(x, y, from) {
    this.panels.forEach(({ cross }, number) => {
      cross.hidden = x === null || number === from;
      if (x !== null) cross.style.transform = `translate(${x}px, ${y}px)`;
    });
  }
}

function scaleBar(id) {
  return make("div", { class: "scale", id }, make("span", {}), make("i", {}));
}

// As wide as so many metres: in shares of the panel, so that it stays right on paper of any size.
function updateScaleBar(host, view) {
  const perPx = view.metresPerUnit / view.scale;
  const raw = perPx * Math.min(130, view.width / 3), power = 10 ** Math.floor(Math.log10(raw));
  const long = [5, 2, 1].map((step) => step * power).find((step) => step <= raw);
  host.style.width = `${(100 * long) / perPx / view.width}%`;
  const text = page.frame.crs === null ? `${long} px` : long >= 1000 ? `${long / 1000} km` : `${long} m`;
  host.firstChild.textContent = text;
}

function northArrow() {
  if (page.frame.north === null) return "";
  const arrow = make("path", { d: "M12 2 L17 15 L12 12 L7 15 Z", transform: `rotate(${page.frame.north} 12 10)` });
  const svg = make("svg", { viewBox: "0 0 24 26", class: "north", role: "img", "aria-label": t`North arrow` }, arrow);
  svg.append(make("text", { x: "12", y: "25" }, t`N`));
  return svg;
}
