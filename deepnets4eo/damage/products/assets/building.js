// One building on its card: the grade and its probability, and every piece of evidence against the scene.

const FIRST_EVIDENCE = 6;
let allEvidence = false; // stays from one building to the next

const cardParts = (store, i) => [verdict(store, i), buildingFacts(store, i), evidenceList(store, i)];

function verdict(store, i) {
  const reason = store.reasons[store.reason[i]];
  if (store.class[i] === NOT_ASSESSED) return make("p", { class: "why" }, make("b", {}, t`Why not: `), word(reason || "no reason given"));
  const open = setOf(store, i).map((k) => SHORT[k].toLowerCase()).join(", ");
  const notes = [t`Cannot be excluded at 90 %: ${open}`, ...(reason ? [word(reason)].map((text) => text[0].toUpperCase() + text.slice(1)) : [])];
  if (RANKED) notes.unshift(t`Rank ${number(i + 1)} of ${number(page.summary.buildings.assessed)} by probable damage`);
  if (isUnknown(store.class[i])) return make("div", { class: "verdicts" }, make("p", { class: "why note" }, t`Damaged or not is not known: the images do not show how many buildings are damaged.`), ...notes.map((note) => make("p", { class: "note" }, note)));
  return make("div", { class: "verdicts" }, meter(t`Major damage or worse`, share(store.prob[i])), meter(t`Confidence in the grade`, share(store.confidence[i])), ...notes.map((note) => make("p", { class: "note" }, note)));
}

function buildingFacts(store, i) {
  const method = { pre_post: t`before and after compared`, post_only: t`after image only`, water: t`surrounding water only` }[store.methods[store.method[i]]];
  const place = latLon(store, i);
  const shift = ["dx_px", "dy_px"].map((name) => store.evidence.find((e) => e.name === name)).map((e) => evidenceOf(store, e, i));
  const moved = shift[0] && shift[1] ? apart(`${decimal(shift[0].value, 1)}; ${decimal(shift[1].value, 1)} px`) : null;
  const prior = store.evidence.find((e) => e.name === "damage_prob_with_prior"), together = prior && evidenceOf(store, prior, i);
  const pairs = [[t`With the prior`, together && percent(together.value)], [t`Method`, method], [t`Latitude, longitude`, place && whereabouts(place)], [t`Outline shift (right, down)`, moved]].filter(([, value]) => value);
  return make("dl", { class: "facts" }, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
}

// The most unusual evidence first.
function evidenceList(store, i) {
  const list = make("div", { class: "evidence" });
  if (store.class[i] === NOT_ASSESSED) return list;
  const pieces = store.evidence.filter((e) => e.name.startsWith("ev_"));
  if (i >= store.evidenceRows) {
    if (pieces.length) list.append(make("p", { class: "note" }, t`The evidence of less probable buildings is in damage.gpkg.`));
    return list;
  }
  const found = pieces.map((e) => ({ e, is: evidenceOf(store, e, i) })).sort((a, b) => unusual(b.is) - unusual(a.is));
  list.append(make("h3", {}, t`Evidence`), make("p", { class: "note" }, t`Most unusual first. Bars: all assessed buildings; coloured marks: medians of undamaged and destroyed buildings.`));
  for (const { e, is } of allEvidence ? found : found.slice(0, FIRST_EVIDENCE)) list.append(piece(e, is));
  if (found.length > FIRST_EVIDENCE) {
    const more = make("button", { class: "more" }, allEvidence ? t`Show the most unusual only` : t`Show all ${found.length}`);
    more.onclick = () => { allEvidence = !allEvidence; list.replaceWith(evidenceList(store, i)); };
    list.append(more);
  }
  return list;
}

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

function piece(evidence, is) {
  const above = is ? t`at or above ${percent(is.rank)} of buildings` : t`not measured here`;
  return make(
    "div", { class: "piece" },
    make("div", { class: "piece-head" }, make("b", { lang: "en" }, evidence.name.slice(3).replaceAll("_", " ")), make("output", {}, short(is?.value))),
    is ? histogram(evidence, is.value) : null,
    make("p", {}, ...(evidence.meaning ? [make("bdi", { lang: "en" }, evidence.meaning), " · "] : []), above),
  );
}

const unusual = (is) => (is ? Math.abs(is.rank - 0.5) : -1);

function histogram(evidence, value) {
  const [low, high] = evidence.range, width = 320, height = 34, top = Math.max(...evidence.histogram);
  const at = (v) => Math.min(Math.max((v - low) / (high - low || 1), 0), 1) * (width - 6) + 3;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" });
  const step = width / evidence.histogram.length;
  evidence.histogram.forEach((count, k) => {
    const h = count ? Math.max((count / top) ** 0.5 * (height - 8), 1.5) : 0; // square root: rare values stay visible
    svg.append(make("rect", { x: k * step + 0.5, y: height - h, width: step - 1, height: h }));
  });
  [0, 3].forEach((grade) => {
    if (evidence.medians[grade] === null || evidence.medians[grade] === undefined) return;
    const x = at(evidence.medians[grade]);
    const mark = make("line", { x1: x, x2: x, y1: height - 16, y2: height, class: "median" });
    mark.style.stroke = rgba(grade, 1);
    svg.append(mark);
  });
  const x = at(value);
  svg.append(make("line", { x1: x, x2: x, y1: 0, y2: height, class: "here" }), make("path", { d: `M${x - 4} 0h8l-4 6z`, class: "here" }));
  return svg;
}
