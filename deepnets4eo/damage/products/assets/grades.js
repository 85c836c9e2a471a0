// Grades of damage: how they are drawn, listed and saved. They differ by colour, by dash and by a pie, never by colour alone.

// Where the images do not show how many are damaged, buildings whose grade is not certain are in quarters by their rank.

const NOT_ASSESSED = classes.length - 1;
const QUARTERS = Object.keys(page.unknown).map((name) => classes.findIndex(({ key }) => key === name)); // the most probably damaged first
const isUnknown = (index) => QUARTERS.includes(index);
const RANKED = QUARTERS.length > 0;
const SHORT = [t`No damage`, t`Minor`, t`Major`, t`Destroyed`, ...QUARTERS.map(() => t`Not known`), t`Not assessed`];
const STYLES = [
  { dash: [], width: 1.25, fill: 0, least: 1.6, dots: 0.75, filled: 0 },
  { dash: [5, 3], width: 1.75, fill: 0.3, least: 2.5, dots: 0.95, filled: 1 / 3 },
  { dash: [9, 3], width: 2.25, fill: 0.4, least: 3, dots: 0.95, filled: 2 / 3 },
  { dash: [], width: 2.5, fill: 0.55, least: 3.5, dots: 0.95, filled: 1 },
  ...QUARTERS.map((_, k) => ({ dash: [], width: 2.25 - k / 4, fill: 0.45 - k / 10, least: 3.2 - k / 2, dots: 0.95, filled: 1 - k / 4 })),
  { dash: [2, 3], width: 1.25, fill: 0.25, least: 1.6, dots: 0.75, filled: null },
];
const DRAWN = [NOT_ASSESSED, 0, ...QUARTERS.toReversed(), 1, 2, 3]; // the worst on top
const severity = (index) => (isUnknown(index) ? 1.9 - 0.1 * QUARTERS.indexOf(index) : index);
const rankOf = (store, i) => (RANKED && store.class[i] !== NOT_ASSESSED ? i + 1 : null); // objects come in this order

const STORED = "prob";
const LIST = {
  class: {
    heading: t`Grade`,
    sort: { title: t`grade, worst first`, sign: -1, value: (store) => (i) => (store.class[i] === NOT_ASSESSED ? null : severity(store.class[i])) },
    cell: (store, i) => classCell(store, i, SHORT[store.class[i]]),
  },
  id: { heading: t`Id`, sort: byId, cell: idCell },
  prob: {
    heading: RANKED ? t`Rank` : t`P(major +)`,
    sort: { title: RANKED ? t`rank by probable damage, the most probable first` : t`probability of major damage or worse, highest first`, sign: -1, value: (store) => (i) => share(store.prob[i]) },
    cell: probabilityCell,
  },
  confidence: {
    heading: t`Conf.`,
    sort: { title: t`confidence in the grade, least certain first`, sign: 1, value: (store) => (i) => share(store.confidence[i]) },
    cell: (store, i) => {
      const confidence = isUnknown(store.class[i]) ? null : share(store.confidence[i]);
      return gridCell({ class: "num" }, confidence === null ? "" : shareText(confidence));
    },
  },
};
const COLUMNS = {
  id: (store, i) => store.ids[i],
  damage: (store, i) => (store.class[i] === NOT_ASSESSED ? null : isUnknown(store.class[i]) ? "not-known" : classes[store.class[i]].key),
  damage_prob: (store, i) => share(store.prob[i]),
  confidence: (store, i) => share(store.confidence[i]),
  damage_set: (store, i) => (store.set[i] ? setOf(store, i).map((k) => classes[k].key).join(",") : null),
  status: (store, i) => statusOf(store, i),
  reason: (store, i) => store.reasons[store.reason[i]],
  method: (store, i) => store.methods[store.method[i]],
  ...(RANKED ? { damage_rank: rankOf } : {}),
};

const statusOf = (store, i) => (store.class[i] === NOT_ASSESSED ? "not_assessed" : "assessed");
// Numbers of the grades that cannot be excluded.
const setOf = (store, i) => [0, 1, 2, 3].filter((k) => store.set[i] >> k & 1);

// Probabilities are stored as differences, so that they pack well.
function decode(store) {
  for (let i = 1; i < store.count; i++) store.prob[i] = (store.prob[i - 1] + store.prob[i]) & 0xffff;
}

function isWanted(store, i) {
  const status = document.getElementById("status").value;
  return !status || statusOf(store, i) === status;
}

// The probability with its bar, or why there is none.
function probabilityCell(store, i) {
  const prob = share(store.prob[i]), reason = word(store.reasons[store.reason[i]]);
  if (prob === null) return gridCell({ class: "reason", title: reason }, reason);
  return RANKED ? rankCell(store, i) : shareCell(prob, rgba(store.class[i], 1));
}

// The rank with a bar that is longest for the first.
function rankCell(store, i) {
  const bar = make("span", { class: "bar" }, make("i", {})), assessed = page.summary.buildings.assessed;
  bar.firstChild.style.width = cssPercent(1 - i / assessed);
  bar.firstChild.style.background = rgba(store.class[i], 1);
  return gridCell({ class: "prob" }, bar, make("span", {}, number(i + 1)));
}
