// The table of buildings: only the rows in sight exist, so that hundreds of thousands scroll smoothly.

const ROW_PX = 34;
const SORTS = {
  prob: { title: "probability of major damage or worse", compare: null }, // the order the data comes in
  confidence: { title: "confidence in the grade", compare: (store) => (a, b) => rank(store.confidence[b]) - rank(store.confidence[a]) || a - b },
  id: { title: "id", compare: (store) => {
    const keys = store.ids.map((id) => id.replace(/\d+/g, (digits) => digits.padStart(15, "0"))); // 9 before 10
    return (a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b);
  } },
};
const rank = (stored) => (stored === MISSING ? -1 : stored);

class List {
  constructor(store, outlines) {
    this.store = store;
    this.outlines = outlines;
    this.hidden = new Set(); // grades switched off
    this.sort = "prob";
    this.orders = {};
    this.rows = [];
    this.selected = -1;
    this.onselect = () => {};
    this.onfilter = () => {};
    this.build();
  }

  build() {
    this.host = document.getElementById("table");
    this.heads = {};
    const head = (key, ...content) => {
      const button = make("button", { tabindex: "-1" }, ...content);
      button.onclick = () => { this.sort = key; this.apply(); };
      button.title = `Sort by: ${SORTS[key].title}`;
      this.heads[key] = make("div", { role: "columnheader" }, button);
      return this.heads[key];
    };
    const grade = make("div", { role: "columnheader" }, "Grade");
    this.header = make("div", { class: "row head", role: "row" }, grade, head("id", "Id"), head("prob", "P(major +)"), head("confidence", "Conf."));
    this.body = make("div", { class: "body", role: "rowgroup" });
    this.host.append(this.header, this.body);
    this.host.onscroll = () => this.draw();
    this.host.onkeydown = (event) => this.key(event);
    this.body.onclick = (event) => {
      const row = event.target.closest("[data-place]");
      if (row) this.onselect(this.rows[Number(row.dataset.place)], true);
    };
    document.getElementById("search").oninput = () => this.apply();
    document.getElementById("status").onchange = () => this.apply();
    document.getElementById("csv").onclick = () => this.saveCsv();
    new ResizeObserver(() => this.draw()).observe(this.host);
  }

  toggle(grade) {
    if (!this.hidden.delete(grade)) this.hidden.add(grade);
    this.apply();
  }

  // All buildings in the chosen order, sorted once.
  order() {
    const { compare } = SORTS[this.sort];
    if (!this.orders[this.sort]) {
      const all = Array.from({ length: this.store.count }, (_, i) => i);
      this.orders[this.sort] = Uint32Array.from(compare ? all.sort(compare(this.store)) : all);
    }
    return this.orders[this.sort];
  }

  // Which buildings are listed, and in which order; the map shows the same ones.
  apply() {
    const text = document.getElementById("search").value.trim().toLowerCase();
    const status = document.getElementById("status").value;
    const { store } = this;
    this.rows = [];
    for (const i of this.order()) {
      const kept = !this.hidden.has(store.grade[i]) && (!status || statusOf(store, i) === status) && (!text || store.ids[i].toLowerCase().includes(text));
      this.outlines.shown[i] = kept ? 1 : 0;
      if (kept) this.rows.push(i);
    }
    for (const [key, cell] of Object.entries(this.heads)) {
      cell.setAttribute("aria-sort", key !== this.sort ? "none" : key === "id" ? "ascending" : "descending");
    }
    const all = this.rows.length === store.count;
    document.getElementById("listed").textContent = all ? `${number(store.count)} buildings` : `${number(this.rows.length)} of ${number(store.count)} buildings`;
    this.host.setAttribute("aria-rowcount", this.rows.length + 1);
    this.body.style.height = `${this.rows.length * ROW_PX}px`;
    this.host.scrollTop = 0;
    this.draw();
    this.onfilter();
  }

  draw() {
    const first = Math.max(Math.floor(this.host.scrollTop / ROW_PX) - 4, 0);
    const last = Math.min(first + Math.ceil(this.host.clientHeight / ROW_PX) + 8, this.rows.length);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(this.row(place));
    this.body.replaceChildren(...rows);
    const place = this.rows.indexOf(this.selected);
    if (place >= first && place < last) this.host.setAttribute("aria-activedescendant", `row-${place}`);
    else this.host.removeAttribute("aria-activedescendant");
  }

  row(place) {
    const { store } = this, i = this.rows[place], grade = store.grade[i], prob = share(store.prob[i]);
    const bar = make("span", { class: "bar" }, make("i", {}));
    bar.firstChild.style.width = percent(prob ?? 0);
    bar.firstChild.style.background = rgba(grade, 1);
    const row = make(
      "div",
      { class: "row", role: "row", id: `row-${place}`, "data-place": place, "data-id": store.ids[i], "aria-rowindex": place + 2, "aria-selected": String(i === this.selected) },
      make("div", { role: "gridcell", class: "grade" }, pie(grade), SHORT[grade]),
      make("div", { role: "gridcell", class: "id", title: store.ids[i] }, store.ids[i]),
      prob === null
        ? make("div", { role: "gridcell", class: "reason", title: store.reasons[store.reason[i]] }, store.reasons[store.reason[i]])
        : make("div", { role: "gridcell", class: "prob" }, bar, make("span", {}, prob > 0.99 ? "> .99" : prob.toFixed(2))),
      make("div", { role: "gridcell", class: "num" }, share(store.confidence[i])?.toFixed(2) ?? ""),
    );
    row.style.top = `${place * ROW_PX}px`;
    return row;
  }

  mark(i) {
    this.selected = i;
    const place = this.rows.indexOf(i), top = place * ROW_PX, room = this.host.clientHeight - ROW_PX; // minus the header
    if (place >= 0 && (top < this.host.scrollTop || top + ROW_PX > this.host.scrollTop + room)) {
      this.host.scrollTop = Math.max(top - room / 2, 0);
    }
    this.draw();
  }

  step(by) {
    if (!this.rows.length) return;
    const place = this.rows.indexOf(this.selected);
    const next = place < 0 ? 0 : Math.min(Math.max(place + by, 0), this.rows.length - 1);
    this.onselect(this.rows[next], true);
  }

  key(event) {
    const page = Math.max(Math.floor(this.host.clientHeight / ROW_PX) - 2, 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === "Enter" && this.selected >= 0) this.onselect(this.selected, true);
    else return;
    event.preventDefault();
  }

  saveCsv() {
    const { store } = this;
    const lines = ["id,damage,damage_prob,confidence,status,reason,method,longitude,latitude"];
    for (const i of this.rows) {
      const [lon, lat] = lonLat(...centre(store, i)) ?? ["", ""], assessed = store.grade[i] !== NOT_ASSESSED;
      const place = lon === "" ? ["", ""] : [lon.toFixed(6), lat.toFixed(6)];
      lines.push([
        csvCell(store.ids[i]), assessed ? grades[store.grade[i]].key : "", share(store.prob[i]) ?? "", share(store.confidence[i]) ?? "",
        statusOf(store, i), csvCell(store.reasons[store.reason[i]]), store.methods[store.method[i]], ...place,
      ].join(","));
    }
    const url = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    make("a", { href: url, download: "damage_listed.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
