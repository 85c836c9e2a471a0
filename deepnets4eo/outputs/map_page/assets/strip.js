// Below the panels, where they leave room: the first listed objects close up, before and after, as high as fills it. A press selects one.

const PAIR_PX = 300, GAP_PX = 6, LINE_PX = 2; // most of the width of the pictures of one object; between them; of the colour below them
const TALLEST = 1.5; // times the usual height of a picture
const CLOSE_PX = { width: 300, height: 220 }; // of one picture as it is drawn

class Strip {
  constructor(store, panels, outlines) {
    Object.assign(this, { store, panels, outlines, shown: [], rows: [] });
    this.host = document.getElementById("strip");
    this.onselect = () => {};
    new ResizeObserver(() => this.fill(this.rows)).observe(this.host);
  }

  fill(rows) {
    this.rows = rows;
    const { clientWidth: width, clientHeight: height } = this.host;
    const wide = (CLOSE_PX.width / CLOSE_PX.height) * this.panels.sources.length; // as many times its height is the pair wide
    const across = Math.max(1, Math.ceil(width / Math.min(PAIR_PX, wide * (height - 2 * GAP_PX)))), usual = width / across / wide;
    const lines = Math.min(Math.round(height / (usual + GAP_PX)), Math.ceil(rows.length / across)), wanted = rows.slice(0, across * lines);
    const high = lines ? Math.min(height / lines - GAP_PX - LINE_PX, TALLEST * usual) : 0, pair = (width - GAP_PX) / across - GAP_PX;
    const close = { width: CLOSE_PX.width, height: Math.round((CLOSE_PX.width * high * this.panels.sources.length) / pair) };
    this.host.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    this.host.style.setProperty("--high", `${high}px`);
    this.shown = wanted.map((i) => this.item(i, close));
    this.host.replaceChildren(...this.shown.map(({ button }) => button));
    this.draw();
  }

  item(i, size) {
    const canvases = this.panels.sources.map(() => make("canvas", { ...size, "aria-hidden": "true" }));
    const { title } = classes[this.store.class[i]], button = make("button", { "data-strip": this.store.ids[i], title: `${title}: ${this.store.ids[i]}`, "aria-label": `${title}: ${this.store.ids[i]}` }, ...canvases);
    button.style.setProperty("--class", rgba(this.store.class[i], 1));
    button.onclick = () => this.onselect(i, true);
    return { i, button, canvases };
  }

  draw() {
    for (const { i, canvases } of this.shown) canvases.forEach((canvas, k) => drawCloseUp(canvas, this.store, this.panels, this.panels.sources[k], this.outlines, i));
  }
}
