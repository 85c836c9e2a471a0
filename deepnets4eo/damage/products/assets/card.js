// One building: both images close up, the grade and its probability, and every piece of evidence against the scene.

const FIRST_EVIDENCE = 6;

class Card {
  constructor(store, panels, outlines) {
    this.store = store;
    this.panels = panels;
    this.outlines = outlines;
    this.host = document.getElementById("card");
    this.all = false;
    this.onstep = () => {};
    panels.onimage = () => this.drawChips();
  }

  show(i) {
    this.shown = i;
    this.host.hidden = i < 0;
    if (i < 0) return;
    const grade = this.store.grade[i];
    this.host.style.setProperty("--grade", rgba(grade, 1));
    this.host.replaceChildren(this.head(i, grade), this.chips(), this.verdict(i, grade), this.facts(i), this.evidence(i));
    this.host.scrollTop = 0;
    this.drawChips();
  }

  head(i, grade) {
    const button = (text, label, act) => {
      const made = make("button", { "aria-label": label, title: label }, text);
      made.onclick = act;
      return made;
    };
    return make(
      "div", { class: "card-head" },
      pie(grade),
      make("div", {}, make("h2", {}, grades[grade].title), make("code", {}, this.store.ids[i])),
      make("div", { class: "steps" },
        button("‹", "Previous listed building (P)", () => this.onstep(-1)),
        button("›", "Next listed building (N)", () => this.onstep(1)),
        button("×", "Close (Escape)", () => this.onstep(0))),
    );
  }

  chips() {
    this.chipCanvases = this.panels.sources.map((source) => make("canvas", { width: 300, height: 220, role: "img", "aria-label": `${imageTitle(source)}, close up` }));
    return make("div", { class: "close-up" }, ...this.chipCanvases.map((canvas, k) => make("figure", {}, canvas, make("figcaption", {}, this.caption(this.panels.sources[k])))));
  }

  // Says so where the page holds but a coarse image of the place.
  caption(source) {
    const [col, row] = centre(this.store, this.shown);
    const close = source.coarse < 1.5 || source.tiles.some(([left, top, width, height, , detail]) => detail && col >= left && col <= left + width && row >= top && row <= top + height);
    return imageTitle(source) + (close ? "" : " · coarse preview");
  }

  // The same drawing as the panels, through a small view of its own.
  drawChips() {
    const i = this.shown;
    if (!(i >= 0)) return;
    const view = new View(page.frame, null), [left, top, right, bottom] = this.store.boxes.subarray(4 * i, 4 * i + 4);
    view.width = 300;
    view.height = 220;
    if (!(right >= left)) return;
    [view.x, view.y] = centre(this.store, i);
    view.scale = Math.min(view.width / ((right - left) * view.aspectX), view.height / ((bottom - top) * view.aspectY), 20) * 0.5;
    this.chipCanvases.forEach((canvas, k) => {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, 300, 220);
      this.panels.drawTiles(context, this.panels.sources[k], view);
      const path = new Path2D();
      this.outlines.trace(path, view, i);
      for (const [width, style] of [[3.5, "rgba(0,0,0,.5)"], [1.5, rgba(this.store.grade[i], 1)]]) {
        context.lineWidth = width;
        context.strokeStyle = style;
        context.stroke(path);
      }
    });
  }

  verdict(i, grade) {
    const reason = this.store.reasons[this.store.reason[i]];
    if (grade === NOT_ASSESSED) return make("p", { class: "why" }, make("b", {}, "Why not: "), reason || "no reason given");
    const bar = (label, value) => {
      const meter = make("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuenow": value ?? 0, "aria-valuemin": 0, "aria-valuemax": 1 }, make("i", {}));
      meter.firstChild.style.width = cssPercent(value ?? 0);
      return make("div", { class: "verdict" }, make("span", {}, label), meter, make("b", {}, surely(value)));
    };
    return make("div", { class: "verdicts" }, bar("Major damage or worse", share(this.store.prob[i])), bar("Confidence in the grade", share(this.store.confidence[i])), make("p", { class: "note" }, `Cannot be excluded at 90 %: ${setOf(this.store, i).map((k) => SHORT[k].toLowerCase()).join(", ")}`), ...(reason ? [make("p", { class: "note" }, reason[0].toUpperCase() + reason.slice(1))] : []));
  }

  facts(i) {
    const method = { pre_post: "before and after compared", post_only: "after image alone" }[this.store.methods[this.store.method[i]]];
    const place = latLon(this.store, i);
    const shift = ["dx_px", "dy_px"].map((name) => this.store.evidence.find((e) => e.name === name)).map((e) => evidenceOf(this.store, e, i));
    const moved = shift[0] && shift[1] ? `${shift[0].value.toFixed(1)}, ${shift[1].value.toFixed(1)} px` : null;
    const pairs = [["Method", method], ["Latitude, longitude", place && whereabouts(place)], ["Outline shift (right, down)", moved]].filter(([, value]) => value);
    return make("dl", { class: "facts" }, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
  }

  // The most unusual evidence first.
  evidence(i) {
    const list = make("div", { class: "evidence" });
    if (this.store.grade[i] === NOT_ASSESSED) return list;
    const shown = this.store.evidence.filter((e) => e.name.startsWith("ev_"));
    if (i >= this.store.evidenceRows) {
      if (shown.length) list.append(make("p", { class: "note" }, "The evidence of less probable buildings is in damage.gpkg."));
      return list;
    }
    const found = shown.map((e) => ({ e, is: evidenceOf(this.store, e, i) })).sort((a, b) => unusual(b.is) - unusual(a.is));
    list.append(make("h3", {}, "Evidence"), make("p", { class: "note" }, "Most unusual first. Bars: all assessed buildings; coloured marks: medians of undamaged and destroyed ones."));
    for (const { e, is } of this.all ? found : found.slice(0, FIRST_EVIDENCE)) list.append(this.piece(e, is));
    if (found.length > FIRST_EVIDENCE) {
      const more = make("button", { class: "more" }, this.all ? "Show the most unusual only" : `Show all ${found.length}`);
      more.onclick = () => { this.all = !this.all; list.replaceWith(this.evidence(i)); };
      list.append(more);
    }
    return list;
  }

  piece(evidence, is) {
    const above = is ? `at or above ${percent(is.rank)} of buildings` : "not measured here";
    return make(
      "div", { class: "piece" },
      make("div", { class: "piece-head" }, make("b", {}, evidence.name.slice(3).replaceAll("_", " ")), make("output", {}, short(is?.value))),
      is ? histogram(evidence, is.value) : null,
      make("p", {}, evidence.meaning ? `${evidence.meaning} · ` : "", above),
    );
  }
}

// Coordinates to copy and to open elsewhere; the page itself loads nothing.
function whereabouts([lat, lon]) {
  const text = make("span", {}, `${lat}, ${lon}`), button = make("button", { title: "Copy latitude and longitude" }, "Copy");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch { // not allowed here: the text is selected instead, ready for the reader's own copy command
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
  };
  const link = (href, title, words) => make("a", { href, title, target: "_blank", rel: "noopener noreferrer" }, words);
  return make("span", { class: "place" }, text, button,
    link(`geo:${lat},${lon}`, "Open in the map program of this device", "Open"),
    link(`https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=19/${lat}/${lon}`, "Open www.openstreetmap.org; needs the internet", "OpenStreetMap"));
}

const unusual = (is) => (is ? Math.abs(is.rank - 0.5) : -1);

function histogram(evidence, value) {
  const [low, high] = evidence.range, width = 320, height = 34, top = Math.max(...evidence.histogram);
  const at = (v) => Math.min(Math.max((v - low) / (high - low || 1), 0), 1) * (width - 6) + 3;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" });
  const step = width / evidence.histogram.length;
  evidence.histogram.forEach((count, k) => {
    const h = count ? Math.max((count / top) ** 0.5 * (height - 8), 1.5) : 0; // square root: rare values stay visible
    svg.append(make("rect", { x: k * step + 0.5, y: height - h, width: step - 1, height: h }));
  });
  [0, 3].forEach((grade) => {
    if (evidence.medians[grade] === null || evidence.medians[grade] === undefined) return;
    const x = at(evidence.medians[grade]);
    const mark = make("line", { x1: x, x2: x, y1: height - 16, y2: height, class: "median" });
    mark.style.stroke = rgba(grade, 1);
    svg.append(mark);
  });
  const x = at(value);
  svg.append(make("line", { x1: x, x2: x, y1: 0, y2: height, class: "here" }), make("path", { d: `M${x - 4} 0h8l-4 6z`, class: "here" }));
  return svg;
}
