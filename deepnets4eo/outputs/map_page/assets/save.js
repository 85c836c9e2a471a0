// The listed objects as files with the columns of `COLUMNS`, made here from the page's own data: a table, KML and GeoJSON.

const DIGITS = 7; // of degrees: a centimetre

function wireSaving(store, list) {
  const kinds = {
    csv: { type: "text/csv", pieces: csvPieces },
    kml: { type: "application/vnd.google-earth.kml+xml", pieces: kmlPieces },
    geojson: { type: "application/geo+json", pieces: geojsonPieces },
  };
  for (const [name, { type, pieces }] of Object.entries(kinds)) {
    const button = document.getElementById(name);
    button.hidden = name !== "csv" && !page.frame.lonlat; // without a place on the earth there is nothing to draw elsewhere
    button.onclick = () => {
      const url = URL.createObjectURL(new Blob(pieces(store, list.rows), { type }));
      make("a", { href: url, download: `${page.words.file}_listed.${name}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    };
  }
}

// The columns of the other products, null where an object has no value.
const columnsOf = (store, i) => Object.fromEntries(Object.entries(COLUMNS).map(([name, value]) => [name, value(store, i)]));

// Text that a spreadsheet would take for a formula begins with an apostrophe; numbers, such as -12, stay numbers.
function csvCell(value) {
  const text = String(value), formula = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
  return `"${formula ? "'" : ""}${text.replaceAll('"', '""')}"`;
}

// As the tables that the job writes: the position comes second; what is known of the event, and SYNTHETIC, is in every row.
function csvPieces(store, rows) {
  const cell = (value) => (typeof value === "string" ? csvCell(value) : value);
  const [first, ...others] = Object.keys(COLUMNS), event = Object.values(page.event_columns).map(cell);
  const line = (i) => {
    const [id, ...values] = Object.values(columnsOf(store, i)).map(cell);
    const place = (latLon(store, i, DIGITS) ?? ["", ""]).map((degrees) => degrees && Number(degrees));
    return `${[id, ...place, ...values, ...event].join(",")}\n`;
  };
  return [`${[first, "latitude", "longitude", ...others, ...Object.keys(page.event_columns)].join(",")}\n`, ...rows.map(line)];
}

// Polygons of an object: each an outer ring, counterclockwise, and its holes, clockwise; rings are closed. Those across the
// 180th meridian are cut in two.
function polygonsOf(store, i) {
  const polygons = [];
  for (let ring = store.firstRing[i]; ring < store.firstRing[i + 1]; ring++) {
    const points = [];
    for (let k = store.ringStart[ring]; k < store.ringStart[ring + 1]; k++) points.push([store.xs[k], store.ys[k]]);
    if (Math.abs(areaOf(points)) === 0) continue; // half pixels are too coarse for it
    const outer = polygons.at(-1);
    if (outer && lies(points, outer[0]) && !outer.slice(1).some((hole) => lies(points, hole))) outer.push(points);
    else polygons.push([points]);
  }
  const onEarth = (points, nth) => {
    const places = points.map(([col, row]) => runningLonLat(col, row));
    return areaOf(places) > 0 === nth > 0 ? places.reverse() : places;
  };
  const closed = (places) => [...places, places[0]].map((place) => place.map((degrees) => Number(degrees.toFixed(DIGITS))));
  return polygons.flatMap((rings) => cutAtAntimeridian(rings.map(onEarth))).map((rings) => rings.map(closed));
}

function areaOf(points) {
  return points.reduce((sum, [x, y], k) => sum + points.at(k - 1)[0] * y - x * points.at(k - 1)[1], 0) / 2;
}

// Whether most points of one ring lie within another; single points may touch.
function lies(points, ring) {
  const inside = ([x, y]) => ring.reduce((odd, [ax, ay], k) => {
    const [bx, by] = ring.at(k - 1);
    return ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax ? !odd : odd;
  }, false);
  return points.filter(inside).length > points.length / 2;
}

function geojsonPieces(store, rows) {
  const { synthetic, findings } = page.summary;
  const head = { type: "FeatureCollection", title: titleOf(), synthetic, findings, event: page.event, caveats: page.caveats };
  const feature = (i, nth) => {
    const polygons = polygonsOf(store, i);
    const shape = polygons.length > 1 ? { type: "MultiPolygon", coordinates: polygons } : { type: "Polygon", coordinates: polygons[0] };
    return `${nth ? "," : ""}\n${JSON.stringify({ type: "Feature", geometry: polygons.length ? shape : null, properties: columnsOf(store, i) })}`;
  };
  return [`${JSON.stringify(head).slice(0, -1)},"features":[`, ...rows.map(feature), "\n]}\n"];
}

// XML 1.0 has no control characters and no halves of character pairs.
const xml = (text) => String(text).replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "�").replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

function kmlPieces(store, rows) {
  const hex = (value) => value.toString(16).padStart(2, "0");
  const styles = classes.map(({ key, color: [red, green, blue] }) => {
    const color = hex(blue) + hex(green) + hex(red); // the order of KML, after the opacity
    return `<Style id="${xml(key)}"><LineStyle><color>ff${color}</color><width>2</width></LineStyle><PolyStyle><color>40${color}</color></PolyStyle></Style>\n`;
  });
  const ring = (places) => `<LinearRing><coordinates>${places.map((place) => place.join(",")).join(" ")}</coordinates></LinearRing>`;
  const polygon = ([outer, ...holes]) => `<Polygon><outerBoundaryIs>${ring(outer)}</outerBoundaryIs>${holes.map((hole) => `<innerBoundaryIs>${ring(hole)}</innerBoundaryIs>`).join("")}</Polygon>`;
  const placemark = (i) => {
    const data = Object.entries(columnsOf(store, i)).map(([name, value]) => `<Data name="${name}"><value>${xml(value ?? "")}</value></Data>`);
    const shapes = polygonsOf(store, i).map(polygon);
    return `<Placemark><name>${xml(store.ids[i])}</name><styleUrl>#${xml(classes[store.class[i]].key)}</styleUrl><ExtendedData>${data.join("")}</ExtendedData>${shapes.length > 1 ? `<MultiGeometry>${shapes.join("")}</MultiGeometry>` : shapes.join("")}</Placemark>\n`;
  };
  const findings = page.summary.findings.map(({ severity, message, remedy }) => `${severity.toUpperCase()}: ${message} ${remedy}`.trim());
  const notes = [...eventLines(), ...findings, ...page.caveats];
  return [
    `<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document><name>${xml(titleOf())}</name><description>${xml(notes.join("\n"))}</description>\n`,
    ...styles, ...rows.map(placemark), "</Document>\n</kml>\n",
  ];
}
