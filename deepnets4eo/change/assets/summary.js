// What a change map amounts to: its area with interval, its classes, how it was made, what to beware of.

// Pixels where the images have no CRS, each of them counted as 1 m²; square metres where hectares would be a small fraction.
// Three digits, since no map is truer.
const inPixels = () => "seen_px" in page.summary.area;
const threeDigits = (value) => (value > 0 && value < 99.95 ? value.toPrecision(3) : number(Number(value.toPrecision(3))));
const groundText = (hectares) => (hectares < 1 ? `${threeDigits(10_000 * hectares)} m²` : `${threeDigits(hectares)} ha`);
const areaText = (hectares) => (inPixels() ? `${number(Math.round(10_000 * hectares))} px` : groundText(hectares));
const sheetNotes = () => [];
const legendParts = () => [classTable(), factList(page.facts)];
const summaryBoxes = () => [eventBox(), box("Change", factList(page.facts)), box("Polygons", classTable(), page.left_out ? paragraph(page.left_out) : "")];

function headline() {
  const { area } = page.summary;
  const [changed, seen] = inPixels() ? [area.changed_px / 10_000, area.seen_px / 10_000] : [area.changed_ha, area.seen_ha];
  if (!seen) return ["Nothing could be compared."];
  return [make("b", {}, areaText(changed)), ` changed, ${percent(area.changed_share, 1)} of ${areaText(seen)} that both images show`];
}

function chipOf(index) {
  const { count, area_ha: area } = classes[index];
  return { count, range: areaText(area), told: `${objects(count)}, ${areaText(area)}` };
}

function classTable() {
  const head = ["Change", "Polygons", "Area"];
  const rows = classes.map(({ title, count, area_ha: area }, index) => make("tr", {}, make("th", { scope: "row" }, pie(index), title), make("td", {}, number(count)), make("td", {}, areaText(area))));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
}
