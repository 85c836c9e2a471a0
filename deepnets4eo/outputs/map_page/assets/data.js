// The page's data: plain JSON, and the columns of its objects (buildings, polygons of change) unpacked into typed arrays.
// What an object is, which columns the list has and how each class is drawn comes from the scripts of the map's kind.

const page = JSON.parse(document.getElementById("page").textContent);
const classes = page.classes; // of objects: key, title, color
const { one: OBJECT, many: OBJECTS } = page.words;
const MISSING = 65535;
const TYPES = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array, float32: Float32Array };

// What the page says. Templates are looked up with {} in place of their values; what the objects are called is part of the text.
const word = (text) => (Object.hasOwn(page.translations, text) ? page.translations[text] : text);
function t(texts, ...values) {
  const put = [];
  const english = values.reduce((text, value, k) => {
    const named = value === OBJECT || value === OBJECTS;
    if (!named) put.push(value);
    return text + (named ? value : "{}") + texts[k + 1];
  }, texts[0]);
  return word(english).split("{}").reduce((text, part, k) => text + put[k - 1] + part);
}

// Text that keeps its own order of signs, a date or a number with its unit, where the page is written from right to left.
const apart = (text) => (document.dir === "rtl" ? `\u2066${text}\u2069` : text);

const rgba = (index, alpha) => `rgba(${classes[index].color.join(",")},${alpha})`;

async function unpack(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function loadObjects() {
  const described = page.objects;
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
  decode(store);
  return { ...store, ...trace(store) };
}

// Rings as absolute pixel coordinates, with a box around each object.
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

// Degrees that run on past 180 where the image does, so that outlines are whole; null without a place on the earth.
function runningLonLat(col, row) {
  if (!page.frame.lonlat) return null;
  const u = col / page.frame.width, v = row / page.frame.height, terms = [1, u, v, u * u, u * v, v * v];
  return page.frame.lonlat.map((fit) => fit.reduce((sum, value, k) => sum + value * terms[k], 0));
}

function lonLat(col, row) {
  const place = runningLonLat(col, row);
  return place && [place[0] - 360 * turnsOf(place[0]), place[1]];
}

// The middle of an object's box, for drawing.
function centre(store, i) {
  const [left, top, right, bottom] = store.boxes.subarray(4 * i, 4 * i + 4);
  return [(left + right) / 2, (top + bottom) / 2];
}

// Latitude and longitude of an object's centroid as text that other programs take; null where it has no place on the earth.
function latLon(store, i, digits = 6) {
  const place = store.rings[i] ? lonLat(store.cx[i], store.cy[i]) : null;
  return place && [place[1].toFixed(digits), place[0].toFixed(digits)];
}

// An element with its attributes and children; text is always set as text.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "path", "circle", "text", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const imageTitle = ({ role }) => (role === "pre" ? t`Before` : role === "post" ? t`After` : t`Outlines`);

// Class as a pie filled as its style says, so that grades differ without colour.
function pie(index) {
  const element = make("span", { class: "pie", "aria-hidden": "true" }), { filled } = STYLES[index];
  element.style.setProperty("--class", `rgb(${classes[index].color.join(",")})`);
  element.style.setProperty("--fill", `${100 * (filled ?? 0)}%`);
  if (filled === null) element.classList.add("unknown");
  return element;
}

const LOCALE = `${page.language}-u-nu-latn`; // digits of all languages are those of the files
const number = (value) => value.toLocaleString(LOCALE);
const decimal = (value, digits) => value.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
const objects = (count) => (count === 1 ? t`1 ${OBJECT}` : t`${number(count)} ${OBJECTS}`);
const percent = (value, digits = 0) => `${decimal(100 * value, digits)} %`; // for readers; CSS takes no space before the sign
const cssPercent = (value) => `${100 * value}%`;
const leftToRight = (text) => (document.documentElement.dir === "rtl" ? `\u2066${text}\u2069` : text); // a sign stays before its number
const surely = (value) => (value === null ? "–" : value > 0.99 ? leftToRight("> 99 %") : value < 0.01 ? leftToRight("< 1 %") : percent(value)); // nothing is certain
function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return decimal(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3);
}
