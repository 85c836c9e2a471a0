// One object: both images close up, its class, and what the kind of map knows of it.

class Card {
  constructor(store, panels, outlines) {
    this.store = store;
    this.panels = panels;
    this.outlines = outlines;
    this.host = document.getElementById("card");
    this.onstep = () => {};
  }

  show(i) {
    this.shown = i;
    this.host.hidden = i < 0;
    if (i < 0) return;
    const index = this.store.class[i];
    this.host.style.setProperty("--class", rgba(index, 1));
    const [reason, ...facts] = cardParts(this.store, i); // the reason first, so that nobody has to scroll to it
    this.host.replaceChildren(this.head(i, index), reason, this.chips(), ...facts);
    this.host.scrollTop = 0;
    this.drawChips();
  }

  head(i, index) {
    const button = (text, label, act) => {
      const made = make("button", { "aria-label": label, title: label }, text);
      made.onclick = act;
      return made;
    };
    return make(
      "div", { class: "card-head" },
      pie(index),
      make("div", {}, make("h2", {}, classes[index].title), make("code", { dir: "auto" }, this.store.ids[i])),
      make("div", { class: "steps" },
        button("‹", t`Previous listed ${OBJECT} (P)`, () => this.onstep(-1)),
        button("›", t`Next listed ${OBJECT} (N)`, () => this.onstep(1)),
        button("×", t`Close (Escape)`, () => this.onstep(0))),
    );
  }

  chips() {
    this.chipCanvases = this.panels.sources.map((source) => make("canvas", { ...CLOSE_PX, role: "img", "aria-label": t`${imageTitle(source)}, close up` }));
    return make("div", { class: "close-up" }, ...this.chipCanvases.map((canvas, k) => make("figure", {}, canvas, make("figcaption", {}, this.caption(this.panels.sources[k])))));
  }

  // Says so where the page holds but a coarse image of the place.
  caption(source) {
    const [col, row] = centre(this.store, this.shown);
    const close = source.coarse < 1.5 || source.tiles.some(([left, top, width, height, , detail]) => detail && col >= left && col <= left + width && row >= top && row <= top + height);
    return imageTitle(source) + (close ? "" : ` · ${t`coarse preview`}`);
  }

  drawChips() {
    if (!(this.shown >= 0)) return;
    this.chipCanvases.forEach((canvas, k) => drawCloseUp(canvas, this.store, this.panels, this.panels.sources[k], this.outlines, this.shown));
  }
}

// The same drawing as the panels, through a small view of its own around one object.
function drawCloseUp(canvas, store, panels, source, outlines, i) {
  const view = new View(page.frame, null), [left, top, right, bottom] = store.boxes.subarray(4 * i, 4 * i + 4);
  Object.assign(view, { width: canvas.width, height: canvas.height });
  if (!(right >= left)) return;
  [view.x, view.y] = centre(store, i);
  view.scale = Math.min(view.width / ((right - left) * view.aspectX), view.height / ((bottom - top) * view.aspectY), 20) * 0.5;
  const context = canvas.getContext("2d"), path = new Path2D();
  context.clearRect(0, 0, view.width, view.height);
  panels.drawTiles(context, source, view);
  outlines.trace(path, view, i);
  for (const [width, style] of [[3.5, "rgba(0,0,0,.5)"], [1.5, rgba(store.class[i], 1)]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke(path);
  }
}

// A share as a bar with its number.
function meter(label, value) {
  const made = make("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuenow": value ?? 0, "aria-valuemin": 0, "aria-valuemax": 1 }, make("i", {}));
  made.firstChild.style.width = cssPercent(value ?? 0);
  return make("div", { class: "verdict" }, make("span", {}, label), made, make("b", {}, surely(value)));
}

// Copies the text of an element.
function copyButton(text, title) {
  const button = make("button", { class: "copy", title }, t`Copy`);
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = t`Copied`;
    } catch { // not allowed here: the text is selected instead, ready for the reader's own copy command
      getSelection().selectAllChildren(text);
      button.textContent = t`Selected`;
    }
  };
  return button;
}

// Coordinates to copy and to open elsewhere; the page itself loads nothing.
function whereabouts([lat, lon]) {
  const text = make("span", { dir: "ltr" }, `${lat}, ${lon}`), button = copyButton(text, t`Copy latitude and longitude`);
  const link = (href, title, words) => make("a", { href, title, target: "_blank", rel: "noopener noreferrer" }, words);
  return make("span", { class: "place" }, text, button,
    link(`geo:${lat},${lon}`, t`Open in the map program of this device`, t`Open`),
    link(`https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=19/${lat}/${lon}`, t`Open www.openstreetmap.org; needs the internet`, "OpenStreetMap"));
}
