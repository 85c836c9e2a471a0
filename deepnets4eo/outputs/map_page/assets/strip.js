// Below the panels, where they leave room: the first listed objects close up, before and after. A press selects one.

const PAIR_PX = 300, GAP_PX = 6; // most of the width of the pictures of one object; between them
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
    const across = Math.ceil(width / Math.min(PAIR_PX, wide * (height - 2 * GAP_PX))), line = width / across / wide + GAP_PX;
    const wanted = across > 0 ? rows.slice(0, across * Math.floor(height / line)) : [];
    this.host.style.gridTemplateColumns = `repeat(${Math.max(across, 1)}, minmax(0, 1fr))`;
    this.shown = wanted.map((i) => this.item(i));
    this.host.replaceChildren(...this.shown.map(({ button }) => button));
    this.draw();
  }

  item(i) {
    const canvases = this.panels.sources.map(() => make("canvas", { ...CLOSE_PX, "aria-hidden": "true" }));
    const { title } = classes[this.store.class[i]], button = make("button", { "data-strip": this.store.ids[i], title: `${title}: ${this.store.ids[i]}`, "aria-label": `${title}: ${this.store.ids[i]}` }, ...canvases);
    button.style.setProperty("--class", rgba(this.store.class[i], 1));
    button.onclick = () => this.onselect(i, true);
    return { i, button, canvases };
  }

  draw() {
    for (const { i, canvases } of this.shown) canvases.forEach((canvas, k) => drawCloseUp(canvas, this.store, this.panels, this.panels.sources[k], this.outlines, i));
  }
}
