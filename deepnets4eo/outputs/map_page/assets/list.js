// The table of objects, with the columns of `LIST`: only the rows in sight exist, so that hundreds of thousands scroll smoothly.

const ROW_PX = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"));
// `value` of an object, null where it has none: those come last in both directions. `sign` is what the first press gives.
const byId = { title: t`id`, sign: 1, value: (store) => {
  const keys = store.ids.map((id) => id.replace(/\d+/g, (digits) => digits.padStart(15, "0"))); // 9 before 10
  return (i) => keys[i];
} };
const gridCell = (attributes, ...content) => make("div", { role: "gridcell", ...attributes }, ...content);
const idCell = (store, i) => gridCell({ class: "id", title: store.ids[i], dir: "auto" }, store.ids[i]);
const classCell = (store, i, text) => gridCell({ class: "class", title: text }, pie(store.class[i]), make("span", {}, text));

// In as few signs as a column has room for; nothing is certain.
const shareText = (value) => (value > 0.99 ? t`> .99` : value < 0.01 ? t`< .01` : decimal(value, 2));

// A bar and its number, for shares.
function shareCell(value, color) {
  const bar = make("span", { class: "bar" }, make("i", {}));
  bar.firstChild.style.width = cssPercent(value ?? 0);
  bar.firstChild.style.background = color;
  return gridCell({ class: "prob" }, bar, make("span", {}, shareText(value)));
}

function compare(value, sign) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return x < y ? -sign : x > y ? sign : a - b;
  };
}

class List {
  constructor(store, outlines) {
    this.store = store;
    this.outlines = outlines;
    this.hidden = new Set(); // classes switched off
    this.sort = STORED; // objects come in this order
    this.sign = LIST[STORED].sort.sign;
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
    const head = ([key, { heading, sort }]) => {
      const button = make("button", { title: t`Sort by ${sort.title}; press again for the reverse` }, heading);
      button.onclick = () => {
        this.sign = key === this.sort ? -this.sign : sort.sign;
        this.sort = key;
        this.apply();
      };
      this.heads[key] = make("div", { role: "columnheader" }, button);
      return this.heads[key];
    };
    this.header = make("div", { class: "row head", role: "row" }, ...Object.entries(LIST).map(head));
    this.body = make("div", { class: "body", role: "rowgroup" });
    this.host.append(this.header, this.body);
    this.host.onscroll = () => this.draw();
    this.host.onkeydown = (event) => this.key(event);
    this.body.onclick = (event) => {
      const row = event.target.closest("[data-place]");
      if (row) this.onselect(this.rows[Number(row.dataset.place)], true);
    };
    document.getElementById("search").oninput = () => this.apply();
    for (const filter of document.querySelectorAll(".find select")) filter.onchange = () => this.apply();
    new ResizeObserver(() => this.draw()).observe(this.host);
  }

  toggle(index) {
    if (!this.hidden.delete(index)) this.hidden.add(index);
    this.apply();
  }

  // All objects in the chosen order; each order is sorted once.
  order() {
    const name = this.sort + this.sign;
    if (!this.orders[name]) {
      this.orders[name] = Uint32Array.from({ length: this.store.count }, (_, i) => i);
      if (name !== STORED + LIST[STORED].sort.sign) this.orders[name].sort(compare(LIST[this.sort].sort.value(this.store), this.sign));
    }
    return this.orders[name];
  }

  // Which objects are listed, and in which order; the map shows the same ones.
  apply() {
    const text = document.getElementById("search").value.trim().toLowerCase();
    const { store } = this;
    this.rows = [];
    for (const i of this.order()) {
      const kept = !this.hidden.has(store.class[i]) && isWanted(store, i) && (!text || store.ids[i].toLowerCase().includes(text));
      this.outlines.shown[i] = kept ? 1 : 0;
      if (kept) this.rows.push(i);
    }
    for (const [key, cell] of Object.entries(this.heads)) {
      cell.setAttribute("aria-sort", key !== this.sort ? "none" : this.sign > 0 ? "ascending" : "descending");
    }
    const all = this.rows.length === store.count;
    document.getElementById("listed").textContent = all ? objects(store.count) : t`${number(this.rows.length)} of ${objects(store.count)}`;
    const empty = document.getElementById("empty");
    empty.hidden = this.rows.length > 0;
    empty.textContent = store.count ? t`No ${OBJECT} matches the search and the classes shown.` : word(page.words.empty);
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
    const { store } = this, i = this.rows[place];
    const row = make(
      "div",
      { class: "row", role: "row", id: `row-${place}`, "data-place": place, "data-id": store.ids[i], "aria-rowindex": place + 2, "aria-selected": String(i === this.selected) },
      ...Object.values(LIST).map(({ cell }) => cell(store, i)),
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
    if (event.target !== this.host) return; // the buttons of the header have keys of their own
    const page = Math.max(Math.floor(this.host.clientHeight / ROW_PX) - 2, 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === "Enter" && this.selected >= 0) this.onselect(this.selected, true);
    else return;
    event.preventDefault();
  }
}
