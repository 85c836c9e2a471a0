// What the scene amounts to: counts with their intervals, what was looked at, how well the images fit, what to beware of.

const MAX_AREAS = 40;
const OUTSIDE = "outside all areas"; // the row of the buildings in none
const hasEstimates = () => Boolean(page.summary.estimates?.buildings);

const headlineNote = () => (inWater() ? `${inWater()}.` : "");

// Buildings in new water, and how many are damaged by structure only, if that is known.
function inWater() {
  const water = page.summary.inundation;
  if (!water?.inundated) return "";
  const wet = number(water.inundated), one = water.inundated === 1;
  if (water.structure === null) return one ? t`${wet} stands in new water` : t`${wet} stand in new water`;
  const structure = number(water.structure);
  return one ? t`${wet} stands in new water, ${structure} damaged by structure only` : t`${wet} stand in new water, ${structure} damaged by structure only`;
}

function waterLine() {
  const water = inWater();
  if (!water || page.summary.inundation.structure === null) return water ? paragraph(t`Water: ${water}.`) : "";
  return paragraph(t`Water: ${water}, ${number(page.summary.inundation.together)} together.`);
}

// The number that an interval is of: the expected one if it was estimated, else the classified one.
const trueNumber = ({ count, expected }) => (typeof expected === "number" ? Math.round(expected) : count);

// The buildings classified with a grade, as the headline, the list and the map count them. The interval is of the true number: it is next to
// the count only if it contains the count, else in the table of counts, next to the number that it is of. least : the outlines miss others.
function chipOf(grade) {
  if (isUnknown(grade)) {
    const count = page.unknown[classes[grade].key];
    return { count, least: false, range: "", told: number(count) };
  }
  const counts = grade === NOT_ASSESSED ? { count: page.summary.buildings.not_assessed } : page.summary.by_grade[classes[grade].key];
  const { count, interval_95: interval } = counts, range = bounds(interval), estimated = typeof counts.expected === "number";
  const inside = interval && count >= Math.round(interval[0]) && count <= Math.round(interval[1]);
  return { count, least: isLowerBound(counts), empty: RANKED && !count, range: !inside || RANKED ? "" : estimated ? t`true ${range}` : range, told: count === null ? t`not known` : range ? t`${number(trueNumber(counts))} expected, 95 % interval ${range}; ${number(count)} classified` : number(count) };
}

// Grades whose number the outlines cannot show have a count only of the buildings that are classified all the same.
const isLowerBound = ({ count, share }) => !RANKED && count > 0 && share === null;

function summaryBoxes() {
  return [
    nextBox(),
    eventBox(),
    box(t`Counts`, countsTable(), damagedLine(), priorLines(), areaLine(), paragraph(hasEstimates()
      ? t`Shares are of the assessed buildings. Expected numbers and intervals (95 %) are of the true numbers and include the grading error; the counts of the classified buildings may differ.`
      : t`Shares are of the assessed buildings. The intervals are 95 % intervals and do not include grading errors.`)),
    confusionBox(),
    areasBox(),
    box(t`What was examined`, factList(assessedFacts()), waterLine(), reasons()),
  ];
}

// Two commands that work as they are written, wherever the folder of the map is now.
function nextBox() {
  if (!page.summary.buildings.assessed) return "";
  const folder = folderOfPage(), step = (text, options) => {
    const command = make("code", { class: "command", dir: "ltr" }, `deepnets4eo review ${folder} ${options}`);
    return make("li", {}, text, make("div", { class: "copied" }, command, copyButton(command, t`Copy the command`)));
  };
  return box(t`What to do next`, make("ol", {}, step(t`Grade a random sample of buildings in the browser: it shows how accurate this map is.`, "--serve"), step(t`Put the grades into the map and into this page.`, "--update")),
    folder === "." ? paragraph(t`Run them in a terminal in the folder of the map.`) : "");
}

// As a terminal reads it; a page that is not opened from a disk does not know its folder.
function folderOfPage() {
  if (location.protocol !== "file:") return ".";
  const folder = decodeURIComponent(location.pathname).replace(/\/[^/]*$/, "") || "/", windows = /^\/[A-Za-z]:/.test(folder);
  if (/^[\w/.:-]+$/.test(folder)) return windows ? folder.slice(1) : folder;
  return windows ? `"${folder.slice(1)}"` : `'${folder.replaceAll("'", "'\\''")}'`;
}

const legendParts = () => [countsTable(true), damagedLine()];
const sheetNotes = () => [paragraph(t`Not assessed: ${number(page.summary.buildings.not_assessed)} of ${objects(page.summary.buildings.total)}.`)];

// With the buildings that were not assessed it is the legend of the printed sheet too.
function countsTable(legend = false) {
  const blank = () => head.slice(2).map(() => make("td", {}));
  const { summary } = page, head = [t`Grade`, t`Classified`, t`Expected (95 % interval)`, ...(RANKED ? [] : [hasEstimates() ? t`Expected share` : t`Share`])];
  const rows = [3, 2, 1, 0].map((grade) => {
    const counts = summary.by_grade[classes[grade].key], share = counts.share_interval_95, part = counts.share === null ? null : trueNumber(counts) / summary.buildings.assessed;
    const bar = make("span", { class: "range" });
    if (share) {
      bar.append(make("i", {}), make("u", {}));
      bar.firstChild.style.cssText = `width:${100 * part}%;background:${rgba(grade, 1)}`;
      bar.lastChild.style.cssText = `inset-inline-start:${100 * share[0]}%;width:${100 * (share[1] - share[0])}%`;
    }
    return make("tr", {}, make("th", { scope: "row" }, pie(grade), SHORT[grade]), make("td", {}, counts.count === null ? t`not known` : isLowerBound(counts) ? apart(`≥ ${number(counts.count)}`) : number(counts.count)), make("td", {}, ...(counts.interval_95 ? whole(RANKED ? bounds(counts.interval_95) : `${number(trueNumber(counts))} (${bounds(counts.interval_95)})`) : [])),
      ...(RANKED ? [] : [make("td", {}, counts.share === null ? "" : percent(part, 1), bar)]));
  });
  for (const index of QUARTERS) rows.push(make("tr", {}, make("th", { scope: "row" }, pie(index), classes[index].title), make("td", {}, number(page.unknown[classes[index].key])), ...blank()));
  if (legend) rows.push(make("tr", {}, make("th", { scope: "row" }, pie(NOT_ASSESSED), SHORT[NOT_ASSESSED]), make("td", {}, number(summary.buildings.not_assessed)), ...blank()));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
}

// Of the buildings classified with a grade, how many truly have which.
function confusionBox() {
  const confusion = page.summary.estimates?.confusion ?? {}, grades = [0, 1, 2, 3];
  const rows = grades.filter((grade) => confusion[classes[grade].key]).map((grade) => {
    const { named, truly } = confusion[classes[grade].key];
    const cells = grades.map((other) => truly[classes[other].key]).map(({ expected, interval_95: interval }, other) => make("td", { "data-head": SHORT[other] }, make("span", {}, ...whole(`${number(Math.round(expected))} (${bounds(interval)})`))));
    return make("tr", {}, make("th", { scope: "row" }, `${SHORT[grade]}: ${number(named)}`), ...cells);
  });
  if (!rows.length) return "";
  const head = make("tr", {}, ...[t`Classified`, ...grades.map((grade) => SHORT[grade])].map((text) => make("th", { scope: "col" }, text)));
  return box(t`Grades classified and true`, make("table", { class: "stacking" }, make("thead", {}, head), make("tbody", {}, ...rows)), paragraph(t`For the buildings classified with a grade (rows): how many are expected to have each grade (columns), with 95 % interval; without the buildings graded by water.`));
}

// The areas with most damage first; all of them are in areas.csv.
function areasBox() {
  const areas = page.summary.areas;
  if (!areas) return "";
  const most = [...areas].sort((a, b) => b.damaged - a.damaged).slice(0, MAX_AREAS), people = "people" in areas[0];
  const head = [t`Area`, t`Damaged`, t`95 % interval`, t`Share`, t`Assessed`, ...(people ? [t`Exposed people`] : [])];
  const rows = most.map((area) => {
    const cells = [number(Math.round(area.damaged)), bounds([area.damaged_low, area.damaged_high]), area.share === null ? "" : percent(area.share).replace(" ", "\u00a0"), number(area.assessed),
      ...(people ? [area.people_exposed === null ? "" : number(Math.round(area.people_exposed))] : [])];
    return make("tr", {}, make("th", { scope: "row", dir: "auto" }, area.area === OUTSIDE ? t`outside all areas` : area.area), ...cells.map((text, k) => make("td", { "data-head": head[k + 1] }, make("span", {}, ...whole(text)))));
  });
  const table = make("table", { class: "stacking" }, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows));
  return box(t`By area`, table, paragraph(t`Major damage or worse, expected number.`), areas.length > MAX_AREAS ? paragraph(t`The ${MAX_AREAS} areas with most of ${number(areas.length)}; all are in areas.csv.`) : "");
}

function areaLine() {
  const area = page.summary.estimates?.built_area_m2?.damaged;
  if (area && RANKED) return paragraph(t`Built area of buildings with major damage or worse: ${bounds(area.interval_95)} m² are possible (95 %).`);
  return area ? paragraph(t`Built area of buildings with major damage or worse: ${number(Math.round(area.expected))} m², 95 % interval ${bounds(area.interval_95)} m².`) : "";
}

const damagedLine = () => (page.summary.buildings.assessed ? paragraph(RANKED ? `${page.sentence}. ${t`Quarters of the assessed buildings by rank: damage is most probable in the first.`}` : page.sentence) : "");

// What priors such as shaking change, apart from the counts of the images.
function priorLines() {
  const priors = page.summary.priors;
  if (!priors) return "";
  const text = ({ expected, interval_95: interval }) => `${number(Math.round(expected))} (${bounds(interval)})`;
  const rest = priors.not_assessed, names = priors.sources.map((one) => one.kind).join(", ");
  return make("div", {}, paragraph(t`Images only: ${text(priors.images_alone)}; with the prior (${names}): ${text(priors.with_prior)}`),
    rest ? paragraph(t`Damaged among ${number(rest.buildings)} not assessed, according to the prior, not seen: ${text(rest)}`) : "");
}

function assessedFacts() {
  const { buildings, area_km2: area } = page.summary, km2 = (value) => (value === null ? null : `${decimal(value, value < 10 ? 3 : 1)} km²`);
  const methods = { pre_post: t`By comparing both images`, post_only: t`From the after image only`, water: t`By the surrounding water only` };
  return [
    [t`Buildings`, number(buildings.total)], [t`Assessed`, number(buildings.assessed)], [t`Not assessed`, number(buildings.not_assessed)],
    ...Object.entries(buildings.by_method).map(([name, count]) => [methods[name] ?? name, number(count)]),
    [t`Area assessed`, km2(area.assessed)], [t`Imaged ground without outlines (hatched)`, km2(area.imaged_without_outlines)], [t`Rest of the after image, not assessed`, km2(area.not_assessed)],
    ...footprintFacts(),
  ];
}

function footprintFacts() {
  const { read, used, repaired, renamed, made_ids: madeIds, dropped } = page.summary.footprints;
  if (read === undefined) return [];
  const some = (count) => (count ? number(count) : null);
  return [[t`Outlines in the file`, number(read)], [t`Outlines used`, number(used)], [t`Outlines repaired`, some(repaired)], [t`Ids renamed`, some(renamed)], [t`Ids`, madeIds ? t`row numbers: the file has no usable ids` : null],
    ...Object.entries(dropped).map(([reason, count]) => [t`Left out: ${word(reason)}`, number(count)])];
}

function reasons() {
  const reasons = Object.entries(page.summary.buildings.not_assessed_by_reason);
  return reasons.length ? make("div", {}, make("h3", {}, t`Not assessed because`), factList(reasons.map(([reason, count]) => [word(reason || "no reason given"), number(count)]))) : "";
}
