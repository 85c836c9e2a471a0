// Buildings of two maps: grey where both agree, in colours only where they differ.

const [SAME, OTHER_GRADE, ONLY_A, ONLY_B, NOT_COMPARED] = classes.keys();
const STYLES = [
  { dash: [], width: 1, fill: 0, least: 1.6, dots: 0.6, filled: 0 },
  { dash: [5, 3], width: 2, fill: 0.35, least: 2.5, dots: 0.95, filled: 0.5 },
  { dash: [], width: 2.5, fill: 0.5, least: 3.5, dots: 0.95, filled: 1 },
  { dash: [9, 3], width: 2.5, fill: 0.5, least: 3.5, dots: 0.95, filled: 0.75 },
  { dash: [2, 3], width: 1.25, fill: 0, least: 1.6, dots: 0.6, filled: null },
];
const DRAWN = [NOT_COMPARED, SAME, OTHER_GRADE, ONLY_B, ONLY_A]; // differences on top

const gradeOf = (store, i, side) => {
  const name = store[`named_${side}`][store[`damage_${side}`][i]];
  return name ? word(GRADE_TITLES[name] ?? name) : "–";
};
const GRADE_TITLES = { "no-damage": "No visible damage", "minor-damage": "Minor damage", "major-damage": "Major damage", destroyed: "Destroyed", intact: "Intact", damaged: "Damaged" };

const STORED = "class";
const gradeColumn = (side) => ({
  heading: side.toUpperCase(),
  sort: { title: side.toUpperCase(), sign: -1, value: (store) => (i) => share(store[`value_${side}`][i]) },
  cell: (store, i) => gridCell({ class: "grade", title: gradeOf(store, i, side) }, gradeOf(store, i, side)),
});
const LIST = {
  class: {
    heading: t`Difference`,
    sort: { title: t`kind of difference`, sign: -1, value: (store) => (i) => DRAWN.indexOf(store.class[i]) },
    cell: (store, i) => gridCell({ class: "class", title: classes[store.class[i]].title }, pie(store.class[i]), make("span", { class: "id" }, store.ids[i])),
  },
  a: gradeColumn("a"),
  b: gradeColumn("b"),
  difference: {
    heading: "|A − B|",
    sort: { title: t`difference of the values, largest first`, sign: -1, value: (store) => (i) => share(store.difference[i]) },
    cell: (store, i) => gridCell({ class: "num" }, share(store.difference[i]) === null ? "" : decimal(share(store.difference[i]), 2)),
  },
};
const COLUMNS = {
  id: (store, i) => store.ids[i],
  id_b: (store, i) => store.other_ids[i],
  damage_a: (store, i) => store.named_a[store.damage_a[i]] || null,
  damage_b: (store, i) => store.named_b[store.damage_b[i]] || null,
  value_a: (store, i) => share(store.value_a[i]),
  value_b: (store, i) => share(store.value_b[i]),
  difference: (store, i) => share(store.difference[i]),
};

function decode() {} // nothing is stored as differences
const isWanted = () => true;

const cardParts = (store, i) => {
  const place = latLon(store, i), text = (side) => [gradeOf(store, i, side), share(store[`value_${side}`][i])].filter((part) => part !== null).map((part) => (typeof part === "number" ? `(${shareText(part)})` : part)).join(" ");
  const pairs = [["A", text("a")], ["B", text("b")], [t`Latitude, longitude`, place && whereabouts(place)]].filter(([, value]) => value);
  return [
    make("p", { class: "why" }, classes[store.class[i]].title),
    make("dl", { class: "facts" }, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)])),
  ];
};
