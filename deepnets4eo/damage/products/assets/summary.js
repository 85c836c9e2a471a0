// What the scene amounts to: counts with their intervals, what was looked at, how well the images fit, what to beware of.

const MOST_AREAS = 40;
const hasEstimates = () => Boolean(page.summary.estimates?.buildings);
// What the interval of damaged buildings is of: without known errors of the grading only of the number that is expected.
const intervalOf = () => (page.summary.damaged.grading || hasEstimates() ? "true number" : "expected");

function headline() {
  const { buildings, damaged } = page.summary;
  if (!buildings.assessed) return ["No building could be assessed."];
  return [make("b", {}, `${number(damaged.count)} of ${number(buildings.assessed)}`), ` assessed building${buildings.assessed === 1 ? " shows" : "s show"} major damage or worse`,
    damaged.interval_95 ? make("span", {}, ` · ${intervalOf()} ${bounds(damaged.interval_95)} (95 %)`) : "", inWater() ? ` · ${inWater()}` : ""];
}

// Damage by structure and by water apart and together, where houses stand in new water.
function inWater() {
  const water = page.summary.inundation;
  return water?.inundated ? `${number(water.inundated)} ${water.inundated === 1 ? "stands" : "stand"} in new water, ${number(water.structure)} damaged by structure alone` : "";
}

function chipOf(grade) {
  const counts = grade === NOT_ASSESSED ? { count: page.summary.buildings.not_assessed } : page.summary.by_grade[classes[grade].key];
  return { count: counts.count, range: bounds(counts.interval_95), told: `${number(counts.count)}${counts.interval_95 ? `, 95 % interval ${bounds(counts.interval_95)}` : ""}` };
}

function summaryBoxes() {
  return [
    eventBox(),
    box("Counts", countsTable(), damagedLine(), shareLine(), areaLine(), paragraph(`Shares are of the assessed buildings. ${hasEstimates() ? "The intervals are 95 %, of the true numbers; they hold the grading error and may lie beside the number by grade." : "The grades' intervals are 95 %: the wider of a bootstrap over blocks of neighbouring buildings and Wilson's; they hold no grading error."}`)),
    areasBox(),
    box("What was looked at", factList(assessedFacts()), inWater() ? paragraph(`Water: ${inWater()}, ${number(page.summary.inundation.together)} together.`) : "", reasons()),
  ];
}

const legendParts = () => [countsTable(true), damagedLine()];
const sheetNotes = () => [paragraph(`Not assessed: ${number(page.summary.buildings.not_assessed)} of ${objects(page.summary.buildings.total)}.`)];

// With the buildings that were not assessed it is the legend of the printed sheet too.
function countsTable(legend = false) {
  const { summary } = page, head = ["Grade", "Buildings", "95 % interval", "Share"];
  const rows = [3, 2, 1, 0].map((grade) => {
    const counts = summary.by_grade[classes[grade].key], share = counts.share_interval_95;
    const bar = make("span", { class: "range" });
    if (share) {
      bar.append(make("i", {}), make("u", {}));
      bar.firstChild.style.cssText = `width:${100 * counts.share}%;background:${rgba(grade, 1)}`;
      bar.lastChild.style.cssText = `left:${100 * share[0]}%;width:${100 * (share[1] - share[0])}%`;
    }
    return make("tr", {}, make("th", { scope: "row" }, pie(grade), SHORT[grade]), make("td", {}, number(counts.count)), make("td", {}, bounds(counts.interval_95)),
      make("td", {}, counts.share === null ? "" : percent(counts.share, 1), bar));
  });
  if (legend) rows.push(make("tr", {}, make("th", { scope: "row" }, pie(NOT_ASSESSED), SHORT[NOT_ASSESSED]), make("td", {}, number(summary.buildings.not_assessed)), make("td", {}), make("td", {})));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
}

// The areas with most damage first; all of them are in areas.csv.
function areasBox() {
  const areas = page.summary.areas;
  if (!areas) return "";
  const most = [...areas].sort((a, b) => b.damaged - a.damaged).slice(0, MOST_AREAS), people = "people" in areas[0];
  const head = ["Area", "Damaged", "95 % interval", "Share", "Assessed", ...(people ? ["People exposed"] : [])];
  const rows = most.map((area) => make("tr", {}, make("th", { scope: "row" }, area.area), make("td", {}, number(Math.round(area.damaged))),
    make("td", {}, bounds([area.damaged_low, area.damaged_high])), make("td", {}, area.share === null ? "" : percent(area.share).replace(" ", "\u00a0")), make("td", {}, number(area.assessed)),
    ...(people ? [make("td", {}, area.people_exposed === null ? "" : number(Math.round(area.people_exposed)))] : [])));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
  return box("By area", table, paragraph(`Major damage or worse, expected number.${areas.length > MOST_AREAS ? ` The ${MOST_AREAS} areas with most of ${number(areas.length)}; all are in areas.csv.` : ""}`));
}

function shareLine() {
  const { damaged_share: estimate } = page.summary;
  if (!estimate || estimate.value === undefined) return "";
  const { value, status, reason, interval_95: interval, second_opinion: second } = estimate;
  const how = { given: "given by the user", estimated: "estimated from the buildings", limited: `kept within bounds: ${reason}`, even: "assumed" }[status];
  const doubt = interval ? `; expected by the evidence ${status === "limited" ? "without bounds " : ""}${percent(estimate.most_likely)}, 95 % interval of the true share ${percent(interval[0])}–${percent(interval[1])}` : "";
  return paragraph(`Share of damaged buildings that all probabilities begin from: ${percent(value, 1)} (${how}${doubt}${typeof second === "number" ? `, second estimate ${percent(second)}` : ""}).`);
}

function areaLine() {
  const area = page.summary.estimates?.built_area_m2?.damaged;
  return area ? paragraph(`Built area of buildings with major damage or worse: ${number(Math.round(area.expected))} m², 95 % interval ${bounds(area.interval_95)} m².`) : "";
}

function damagedLine() {
  const { damaged } = page.summary;
  if (!damaged.model_based) return "";
  if (hasEstimates()) return paragraph(`Major damage or worse: ${number(damaged.count)} by grade, expected ${number(Math.round(damaged.expected))}, true number ${bounds(damaged.interval_95)} (95 %). The interval holds the grading error.`);
  const rates = Object.values(damaged.grading?.rates ?? {}).map(({ sensitivity, specificity }) => `${percent(sensitivity.mean)} of the damaged and ${percent(specificity.mean)} of the other buildings`);
  const why = rates.length ? `The interval holds the grading error: it takes ${[...new Set(rates)].join("; ")} for graded right.` : `It holds no grading error; ${bounds(damaged.model_based.interval_95)} if buildings were independent.`;
  return paragraph(`Major damage or worse: ${number(damaged.count)} by grade, ${intervalOf()} ${bounds(damaged.interval_95)} (95 %). ${why}`);
}

function assessedFacts() {
  const { buildings, area_km2: area } = page.summary, km2 = (value) => (value === null ? null : `${value.toFixed(value < 10 ? 3 : 1)} km²`);
  const methods = { pre_post: "By comparing both images", post_only: "By the after image alone", water: "By the water around them alone" };
  return [
    ["Buildings", number(buildings.total)], ["Assessed", number(buildings.assessed)], ["Not assessed", number(buildings.not_assessed)],
    ...Object.entries(buildings.by_method).map(([name, count]) => [methods[name] ?? name, number(count)]),
    ["Area assessed", km2(area.assessed)], ["Imaged ground without outlines (hatched)", km2(area.imaged_without_outlines)], ["Rest of the after image, not assessed", km2(area.not_assessed)],
    ...footprintFacts(),
  ];
}

function footprintFacts() {
  const { read, used, repaired, renamed, made_ids: madeIds, dropped } = page.summary.footprints;
  if (read === undefined) return [];
  const some = (count) => (count ? number(count) : null);
  return [["Outlines in the file", number(read)], ["Outlines used", number(used)], ["Outlines repaired", some(repaired)], ["Ids renamed", some(renamed)], ["Ids", madeIds ? "row numbers: the file has no ids that could be used" : null],
    ...Object.entries(dropped).map(([reason, count]) => [`Left out: ${reason}`, number(count)])];
}

function reasons() {
  const reasons = Object.entries(page.summary.buildings.not_assessed_by_reason);
  return reasons.length ? make("div", {}, make("h3", {}, "Not assessed because"), factList(reasons.map(([reason, count]) => [reason || "no reason given", number(count)]))) : "";
}
