// What a map of regions amounts to: its area with interval, its classes, how it was made, what to beware of.

// Pixels where the images have no CRS, each of them counted as 1 m²; square metres where hectares would be a small fraction.
// Three digits, since no map is truer.
const inPixels = () => page.unit === "px";
const threeDigits = (value) => (value > 0 && value < 99.95 ? value.toPrecision(3) : number(Number(value.toPrecision(3))));
const groundText = (hectares) => (hectares > 0 && hectares < 0.1 ? `${threeDigits(10_000 * hectares)} m²` : `${threeDigits(hectares)} ha`);
const areaText = (hectares) => apart(inPixels() ? `${number(Math.round(10_000 * hectares))} px` : groundText(hectares));
const sheetNotes = () => [];
const legendParts = () => [classTable(), factList(page.facts)];
const summaryBoxes = () => [eventBox(), box(page.noun, factList(page.facts)), box(t`Polygons`, classTable(), page.left_out ? paragraph(page.left_out) : "")];

const headlineNote = () => "";

function chipOf(index) {
  const { count, area_ha: area, area_text: text = areaText(area) } = classes[index];
  return { count, range: apart(text), told: `${objects(count)}, ${text}` };
}

function classTable() {
  const head = [page.noun, t`Polygons`, t`Area`];
  const rows = classes.map(({ title, count, area_ha: area, area_text: text = areaText(area) }, index) => make("tr", {}, make("th", { scope: "row" }, pie(index), title), make("td", {}, number(count)), make("td", {}, text)));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
}
