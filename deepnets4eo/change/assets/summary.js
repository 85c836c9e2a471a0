// What a change map amounts to: its area with interval, its classes, how it was made, what to beware of.

// Square metres where hectares would be a small fraction.
// Three digits, since no map is truer.
const threeDigits = (value) => (value > 0 && value < 99.95 ? value.toPrecision(3) : number(Number(value.toPrecision(3))));
const areaText = (hectares) => (hectares < 1 ? `${threeDigits(10_000 * hectares)} m²` : `${threeDigits(hectares)} ha`);
const sheetNotes = () => [];
const legendParts = () => [classTable(), factList(page.facts)];
const summaryBoxes = () => [eventBox(), box("Change", factList(page.facts)), box("Polygons", classTable(), page.left_out ? paragraph(page.left_out) : "")];

function headline() {
  const { area } = page.summary;
  if (!area.seen_ha) return ["Nothing could be compared."];
  return [make("b", {}, areaText(area.changed_ha)), ` changed, ${percent(area.changed_share, 1)} of ${areaText(area.seen_ha)} that both images show`];
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
