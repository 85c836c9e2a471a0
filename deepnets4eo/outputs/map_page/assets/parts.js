// What both the page and the printed sheet are put together from: findings, chips of the classes, lists of facts, registration.

const bounds = (interval) => (interval ? apart(`${number(Math.round(interval[0]))}–${number(Math.round(interval[1]))}`) : "");
// Text whose intervals are not broken over two lines, and whose commands are set as such.
// They run from the lower to the upper end on pages that are written from right to left, too.
const whole = (text) => text.split(/(`[^`]+`|\(?[\d.,\u202f]+–[\d.,\u202f]*\d\)?|\d+ %)/).map((part, k) => (k % 2 === 0 ? part : make(...(part[0] === "`" ? ["code", { dir: "ltr" }, part.slice(1, -1)] : ["span", { class: "whole", dir: "ltr" }, part]))));
const box = (title, ...content) => make("section", {}, make("h2", {}, title), ...content);
const paragraph = (text) => make("p", { class: "note" }, ...whole(text));
const factList = (pairs) => make("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, make("bdi", {}, String(value)))]));
const titleOf = () => `${page.summary.synthetic ? "SYNTHETIC " : ""}${page.heading}`;
const eventLines = () => page.event_facts.map(([label, value]) => `${label}: ${value}`);
const eventFacts = () => page.event_facts.map(([label, value]) => [word(label), value]);
const eventBox = () => (page.event_facts.length ? box(t`Event and images`, factList(eventFacts())) : "");

// What, when and by whom, in one line below the title; event and place are in the title.
function eventLine() {
  const { credit, producer, ...known } = page.event;
  const dates = [[t`Before`, known.date_pre, known.sensor_pre], [t`After`, known.date_post, known.sensor_post]];
  const parts = [...dates.map(([title, ...values]) => [title, ...values.filter(Boolean).map(apart)]).filter(({ length }) => length > 1).map(([title, ...values]) => `${title}: ${values.join(", ")}`), credit && apart(credit), producer && t`Map by ${producer}`];
  return parts.filter(Boolean).join(" · ");
}

function fillHeader() {
  const line = document.getElementById("event"), told = eventLine();
  document.getElementById("synthetic").hidden = !page.summary.synthetic;
  document.getElementById("title").textContent = titleOf().replace("SYNTHETIC ", "");
  if (page.event_facts.length) document.title = titleOf();
  fillHeadline();
  document.getElementById("quality").append(...registrationWords());
  line.textContent = told;
  line.hidden = !told;
  wireFindings();
}

// One large number in one sentence, its interval as a bar, and what the map cannot know.
function fillHeadline() {
  const { number: figure, sentence, limit, bar } = page.headline, host = document.getElementById("interval"), note = document.getElementById("limit");
  document.getElementById("headline").append(make("b", { class: "figure" }, make("bdi", {}, figure)), " ", ...whole([sentence, headlineNote()].filter(Boolean).join(" ")));
  host.hidden = !bar;
  if (bar) host.append(...intervalBar(bar));
  note.hidden = !limit;
  note.append(...whole(limit));
}

// From left to right in every language, as its numbers are.
function intervalBar({ low, high, whole: end, value, ends, words }) {
  const band = make("i", {}), track = make("span", { class: "track" }, band);
  band.style.left = cssPercent(low / end);
  band.style.width = `max(3px, ${cssPercent((high - low) / end)})`;
  if (value !== null) {
    track.append(make("u", {}));
    track.lastChild.style.left = cssPercent(Math.min(value / end, 1));
  }
  const scale = make("span", { class: "scaled", dir: "ltr", role: "img", "aria-label": `${words}; ${ends[0]}–${ends[1]}` }, make("span", {}, ends[0]), track, make("span", {}, ends[1]));
  return [scale, make("span", { class: "said" }, ...whole(words))];
}

// All findings are in the page as it was written; with JavaScript all but two lines of the worst are folded behind a question. Opened,
// they lie over the images, which keep their size.
function wireFindings() {
  const [host, worst, button, more] = ["", "-worst", "-button", "-more"].map((part) => document.getElementById(`findings${part}`));
  if (!host) return;
  const fold = (folded) => {
    host.parentElement.style.height = folded ? "" : `${host.getBoundingClientRect().height}px`;
    host.classList.toggle("folded", folded);
    host.classList.toggle("opened", !folded);
    button.setAttribute("aria-expanded", String(!folded));
  };
  const offer = () => {
    if (host.classList.contains("folded")) button.hidden = !more && worst.scrollHeight <= worst.clientHeight + 1;
  };
  button.onclick = () => fold(!host.classList.contains("folded"));
  fold(true);
  offer();
  addEventListener("resize", offer);
  addEventListener("keydown", (event) => event.key === "Escape" && fold(true));
}

const inputFacts = () => Object.entries(page.inputs).map(([role, file]) => [word(role), file]);
const caveatsBox = (...notes) => box(t`Read this before use`, make("ul", {}, ...page.caveats.map((text) => make("li", {}, word(text)))), ...notes);

function fillSummary() {
  document.getElementById("view-summary").append(
    ...summaryBoxes(),
    registrationBox(),
    box(t`Images and files`, factList(inputFacts()), paragraph(t`Hashes, versions and parameters are in manifest.json.`)),
    caveatsBox(),
    box(t`Keys`, factList([["+ −", t`zoom`], [t`Arrows`, t`move, when an image has the focus`], ["0, 1", t`whole scene, all ${OBJECTS}`], ["N, P", t`next, previous listed ${OBJECT}`], ["O", t`outlines on or off`], [t`B (hold)`, t`swap the two images`], ["S", t`swipe between the two images`], ["Escape", t`close the ${OBJECT}`]])),
    paragraph(`${t`Made with`} deepnets4eo ${page.version}${page.state ? ` · ${t`State of`} ${apart(page.state)}` : ""}${page.frame.north === null ? "" : ` · ${page.frame.crs}`}`),
  );
}

// A map may show two dates without having registered them: then `registration` is empty.
const hasBefore = () => "pre" in page.inputs, unmeasured = () => t`Images assumed to be aligned, not measured`;

// Green only where images and outlines both fit and nothing else is in doubt.
function registrationWords() {
  if (page.quality) return [page.quality];
  const { status, residual_m: residual, footprints } = page.summary.registration;
  const assumed = page.summary.findings.some(({ code }) => code === "registration_assumed");
  const images = { ok: assumed ? unmeasured() : t`Images aligned`, degraded: t`Images roughly aligned`, failed: t`Images could not be aligned` }[status] ?? (hasBefore() ? unmeasured() : t`After image only`);
  const outlines = { ok: t`outlines on the roofs`, degraded: t`outlines roughly on the roofs`, failed: t`outlines could not be matched with roofs` }[footprints?.status];
  const exact = typeof residual === "number" && status in { ok: 0, degraded: 0 } ? ` · ${apart(`± ${decimal(residual, residual < 0.095 ? 2 : 1)} ${lengthUnit()}`)}` : "";
  const words = `${images}${exact}${outlines ? ` · ${outlines}` : ""}`;
  const doubts = [status, footprints?.status, ...page.summary.findings.map(({ severity }) => ({ worthless: "failed", caution: "degraded" })[severity])];
  const light = doubts.includes("failed") ? "failed" : doubts.includes("degraded") ? "degraded" : status ? "ok" : null;
  return light ? [make("i", { class: `light ${light}`, "aria-hidden": "true" }), words] : [words];
}

// Images without a CRS are measured in pixels.
const lengthUnit = () => page.summary.registration.unit ?? "m";

function moved({ dx_m: right, dy_m: down, status }) {
  if (typeof right !== "number" || status === "failed") return status === "failed" ? t`no, they could not be matched` : null;
  const length = (value) => `${decimal(Math.abs(value), 1)} ${lengthUnit()}`;
  return `${right < 0 ? t`${length(right)} left` : t`${length(right)} right`}, ${down < 0 ? t`${length(down)} up` : t`${length(down)} down`}`;
}

const registrationBox = () => (page.quality ? "" : box(t`Registration of before and after`, factList(registrationFacts())));

function registrationFacts() {
  const registration = page.summary.registration, outlines = registration.footprints ?? {}, length = (value) => (typeof value === "number" ? `${decimal(value, 2)} ${lengthUnit()}` : null);
  return [[t`Result`, registration.status ? word(registration.status) : hasBefore() ? unmeasured() : t`not done: no before image`], [t`Reason`, registration.reason], [t`Model`, registration.model && word(registration.model)], [t`Shift found`, length(registration.shift_m)], [t`Residual at check points`, length(registration.residual_m)], [t`Check windows that agree`, registration.inliers && t`${registration.inliers} of ${registration.tie_points}`], [t`Outlines moved onto the roofs`, moved(outlines)]];
}
