// Regions: how they are drawn, listed and saved. A class is what became what, or change alone.

const PATTERNS = [[], [7, 3], [2, 3], [10, 3, 2, 3]];
const STYLES = classes.map((_, index) => ({ dash: PATTERNS[index % PATTERNS.length], width: 1.75, fill: 0.15, least: 2.5, dots: 0.95, filled: classes.length > 1 ? (index + 1) / classes.length : 1 }));
const DRAWN = classes.map((_, index) => index).reverse(); // the largest on top, and first of the chips

const STORED = "area";
const LIST = {
  class: {
    heading: page.noun,
    sort: { title: t`what became what, the largest first`, sign: 1, value: (store) => (i) => store.class[i] },
    cell: (store, i) => classCell(store, i, changeOf(store, i)),
  },
  id: { heading: t`Id`, sort: byId, cell: idCell },
  area: {
    heading: t`Area`,
    sort: { title: t`area, largest first`, sign: -1, value: (store) => (i) => store.area[i] },
    cell: (store, i) => gridCell({ class: "num" }, regionText(store, i)),
  },
  score: {
    heading: page.score,
    sort: { title: t`mean score, highest first`, sign: -1, value: (store) => (i) => share(store.score[i]) },
    cell: (store, i) => shareCell(share(store.score[i]), rgba(store.class[i], 1)),
  },
};
const COLUMNS = {
  id: (store, i) => store.ids[i],
  area_m2: (store, i) => Number(store.area[i].toFixed(2)),
  score: (store, i) => share(store.score[i]),
  ...(page.objects.pairs && { from: (store, i) => pairOf(store, i)[0], to: (store, i) => pairOf(store, i)[1] }),
};

const regionText = (store, i) => areaText(store.area[i] / 10_000);
const pairOf = (store, i) => store.pairs[store.pair[i]];
const changeOf = (store, i) => (store.pairs ? pairOf(store, i).map((name) => name ?? "–").join(" → ") : classes[store.class[i]].title);

function decode() {} // nothing is stored as differences
const isWanted = () => true;

const cardParts = (store, i) => [
  make("div", { class: "verdicts" }, meter(t`Mean score`, share(store.score[i]))),
  changeFacts(store, i),
];

function changeFacts(store, i) {
  const place = latLon(store, i), [from, to] = store.pairs ? pairOf(store, i) : [];
  const pairs = [[t`Area`, regionText(store, i)], [t`Before`, from], [t`After`, to], [t`Latitude, longitude`, place && whereabouts(place)]].filter(([, value]) => value);
  return make("dl", { class: "facts" }, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
}
