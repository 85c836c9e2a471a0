// The page's data: plain JSON, and the buildings' columns unpacked into typed arrays.

const page = JSON.parse(document.getElementById("page").textContent);
const grades = page.grades;
const known = page.event; // event, place, dates; null where not known
const NOT_ASSESSED = grades.length - 1;
const MISSING = 65535;
const TYPES = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array };
const rgba = (grade, alpha) => `rgba(${grades[grade].color.join(",")},${alpha})`;
const SHORT = ["No damage", "Minor", "Major", "Destroyed", "Not assessed"];

// Numbers of the grades that cannot be excluded.
const setOf = (store, i) => [0, 1, 2, 3].filter((k) => store.set[i] >> k & 1);

async function unpack(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function loadBuildings() {
  const described = page.buildings;
  const raw = await unpack(document.getElementById("packed").textContent);
  const columns = {};
  let offset = 0;
  for (const [name, kind, length] of page.directory) {
    const bytes = length * TYPES[kind].BYTES_PER_ELEMENT;
    columns[name] = new TYPES[kind](raw.slice(offset, offset + bytes));
    offset += bytes;
  }
  const store = { count: described.count, ...described, ...columns };
  store.ids = JSON.parse(new TextDecoder().decode(await unpack(described.ids)));
  for (let i = 1; i < store.count; i++) store.prob[i] = (store.prob[i - 1] + store.prob[i]) & 0xffff;
  return { ...store, ...trace(store) };
}

// Rings as absolute pixel coordinates, with a box around each building.
function trace(store) {
  const points = store.sizes.reduce((sum, size) => sum + size, 0);
  const xs = new Float32Array(points), ys = new Float32Array(points);
  const ringStart = new Uint32Array(store.sizes.length + 1), firstRing = new Uint32Array(store.count + 1);
  const boxes = new Float32Array(4 * store.count);
  let point = 0, step = 0, ring = 0;
  for (let i = 0; i < store.count; i++) {
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (let r = 0; r < store.rings[i]; r++, ring++) {
      let x = store.x0[ring], y = store.y0[ring];
      for (let k = 0; k < store.sizes[ring]; k++) {
        if (k) { x += store.dx[step]; y += store.dy[step]; step++; }
        const px = x / store.unitsPerPx, py = y / store.unitsPerPx;
        xs[point] = px; ys[point] = py; point++;
        left = Math.min(left, px); right = Math.max(right, px);
        top = Math.min(top, py); bottom = Math.max(bottom, py);
      }
      ringStart[ring + 1] = point;
    }
    firstRing[i + 1] = ring;
    boxes.set([left, top, right, bottom], 4 * i);
  }
  return { xs, ys, ringStart, firstRing, boxes };
}

const share = (stored) => (stored === MISSING ? null : stored / 10000);
const statusOf = (store, i) => (store.grade[i] === NOT_ASSESSED ? "not_assessed" : "assessed");

// Value and rank of one piece of evidence; null where it was not measured or not stored.
function evidenceOf(store, evidence, i) {
  if (i >= store.evidenceRows) return null;
  const stored = store["rank:" + evidence.name][i];
  if (stored === MISSING || !evidence.knots.length) return null;
  const rank = stored / (MISSING - 1), at = rank * (evidence.knots.length - 1);
  const below = Math.min(Math.floor(at), evidence.knots.length - 2);
  const value = evidence.knots[below] + (at - below) * (evidence.knots[below + 1] - evidence.knots[below]);
  return { value, rank };
}

function lonLat(col, row) {
  if (!page.frame.lonlat) return null;
  const u = col / page.frame.width, v = row / page.frame.height, terms = [1, u, v, u * u, u * v, v * v];
  return page.frame.lonlat.map((fit) => fit.reduce((sum, value, k) => sum + value * terms[k], 0));
}

function centre(store, i) {
  const [left, top, right, bottom] = store.boxes.subarray(4 * i, 4 * i + 4);
  return [(left + right) / 2, (top + bottom) / 2];
}

// Latitude and longitude of a building as text that other programs take; null where it has no place on the earth.
function latLon(store, i) {
  const place = store.rings[i] ? lonLat(...centre(store, i)) : null;
  return place && [place[1].toFixed(6), place[0].toFixed(6)];
}

// An element with its attributes and children; text is always set as text.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "path", "circle", "text", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const imageTitle = (source) => (source.role === "pre" ? "Before" : "After");

// Grade as a pie filled by severity, so that grades differ without colour.
function pie(grade) {
  const element = make("span", { class: "pie", "aria-hidden": "true" });
  element.style.setProperty("--grade", `rgb(${grades[grade].color.join(",")})`);
  element.style.setProperty("--fill", grade === NOT_ASSESSED ? "0%" : `${(grade * 100) / 3}%`);
  if (grade === NOT_ASSESSED) element.classList.add("unknown");
  return element;
}

const number = (value) => value.toLocaleString("en");
const percent = (value, digits = 0) => `${(100 * value).toFixed(digits)} %`; // for readers; CSS takes no space before the sign
const cssPercent = (value) => `${100 * value}%`;
const surely = (value) => (value === null ? "–" : value > 0.99 ? "> 99 %" : value < 0.01 ? "< 1 %" : percent(value)); // nothing is certain
function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toFixed(3);
}
