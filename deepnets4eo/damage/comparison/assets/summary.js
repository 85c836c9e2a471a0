// How far two maps agree: the maps, the figures and the table of grades.

const headlineNote = () => "";
const sheetNotes = () => [];
const chipOf = (index) => ({ count: page.counts[index], range: "", told: objects(page.counts[index]), empty: page.counts[index] === 0 });
const legendParts = () => [countsTable(), agreementTable()];
const summaryBoxes = () => [
  box(t`How far they agree`, agreementTable(), factList(agreementFacts())),
  box(t`The maps`, mapsTable()),
  box(t`Buildings by difference`, countsTable()),
];

function tableOf(head, rows, kind = "") {
  const cells = ([first, ...others]) => make("tr", {}, make("th", { scope: "row" }, ...[first].flat()), ...others.map((text, k) => make("td", { "data-head": head[k + 1] }, make("span", {}, ...whole(String(text ?? ""))))));
  return make("table", kind ? { class: kind } : {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows.map(cells)));
}

// Rows are of map A, columns of map B.
const agreementTable = () => tableOf([t`A / B`, ...page.grades], page.grades.map((title, row) => [title, ...page.summary.matrix[row].map((count) => number(count))]), "stacking");

const countsTable = () => tableOf([t`Difference`, t`Buildings`], DRAWN.toReversed().filter((index) => page.counts[index]).map((index) => [[pie(index), classes[index].title], number(page.counts[index])]));

function score({ estimate, interval_95: interval }, form) {
  if (estimate === null) return t`not defined: one map has a single class`;
  const [low, high] = (interval ?? []).map((end) => (end === null ? "–" : form(end)));
  return interval ? `${form(estimate)} (${low}–${high})` : form(estimate);
}

function agreementFacts() {
  const { buildings, kappa, overall_accuracy: same } = page.summary;
  return [
    [t`Buildings with a grade in both`, number(buildings.compared)], [t`Only in A, only in B`, `${number(buildings.a_alone)}, ${number(buildings.b_alone)}`],
    [t`Same grade`, score(same, (value) => decimal(100 * value, 1))], ["κ", score(kappa, (value) => decimal(value, 2))],
  ];
}

function mapsTable() {
  const { a, b } = page.summary, row = (title, name, text = (value) => value) => [title, text(a[name]), text(b[name])];
  return tableOf(["", "A", "B"], [
    row(t`File`, "file"), row(t`Tool`, "tool"), row(t`Damaged means`, "damaged_means"), row(t`Outlines`, "outlines", number), row(t`With a grade`, "graded", number),
    row(t`Damaged`, "damaged", number), row(t`Share of damaged buildings among the compared`, "damaged_share_of_compared", (value) => percent(value, 1)),
  ], "stacking");
}
