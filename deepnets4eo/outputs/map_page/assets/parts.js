// What both the page and the printed sheet are put together from: findings, chips of the classes, lists of facts, registration.

const bounds = (interval) => (interval ? `${number(Math.round(interval[0]))}–${number(Math.round(interval[1]))}` : "");
const box = (title, ...content) => make("section", {}, make("h2", {}, title), ...content);
const paragraph = (text) => make("p", { class: "note" }, text);
const factList = (pairs) => make("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, String(value))]));
const titleOf = () => `${page.summary.synthetic ? "SYNTHETIC " : ""}${page.heading}`;
const eventLines = () => page.event_facts.map(([label, value]) => `${label}: ${value}`);
const eventBox = () => (page.event_facts.length ? box("Event and images", factList(page.event_facts)) : "");

// What, when and by whom, in one line below the title; event and place are in the title.
function eventLine() {
  const { credit, producer, ...known } = page.event;
  const dates = [["Before", known.date_pre, known.sensor_pre], ["After", known.date_post, known.sensor_post]];
  const parts = [...dates.map(([title, ...values]) => [title, ...values.filter(Boolean)]).filter(({ length }) => length > 1).map(([title, ...values]) => `${title}: ${values.join(", ")}`), credit, producer && `Map by ${producer}`];
  return parts.filter(Boolean).join(" · ");
}

function fillHeader() {
  const line = document.getElementById("event"), told = eventLine();
  document.getElementById("synthetic").hidden = !page.summary.synthetic;
  document.getElementById("title").textContent = titleOf().replace("SYNTHETIC ", "");
  if (page.event_facts.length) document.title = titleOf();
  document.getElementById("headline").append(...headline());
  document.getElementById("quality").append(...registrationWords());
  line.textContent = told;
  line.hidden = !told;
  wireFindings();
}

// The further findings are in the page as it was written; with JavaScript they are folded behind a button.
function wireFindings() {
  const button = document.getElementById("findings-button"), more = document.getElementById("findings-more");
  if (!button) return;
  button.hidden = false;
  const fold = (folded) => {
    more.classList.toggle("folded", folded);
    button.setAttribute("aria-expanded", String(!folded));
  };
  button.onclick = () => fold(!more.classList.contains("folded"));
  fold(true);
}

function fillChips(list) {
  const host = document.getElementById("chips");
  host.classList.toggle("city", list.store.count >= 10_000);
  for (const index of [...DRAWN].reverse()) {
    const { count, range, told } = chipOf(index);
    const chip = make("button", { class: "chip", "aria-pressed": "true", "data-class": classes[index].key, title: `${classes[index].title}: ${told}. Press to show or hide.` },
      pie(index), make("span", { class: "chip-title" }, classes[index].title), make("b", {}, number(count)), make("span", { class: "chip-range" }, range));
    chip.onclick = () => {
      list.toggle(index);
      chip.setAttribute("aria-pressed", String(!list.hidden.has(index)));
    };
    host.append(chip);
  }
}

function fillSummary() {
  document.getElementById("view-summary").append(
    ...summaryBoxes(),
    box("Registration of before and after", factList(registrationFacts())),
    box("Images and files", factList(Object.entries(page.inputs)), paragraph("Hashes, versions and parameters are in manifest.json.")),
    box("Read this before use", make("ul", {}, ...page.caveats.map((text) => make("li", {}, text)))),
    box("Keys", factList([["+ −", "zoom"], ["Arrows", "move, when an image has the focus"], ["0, 1", `whole scene, all ${OBJECTS}`], ["N, P", `next, previous listed ${OBJECT}`], ["O", "outlines on or off"], ["B (hold)", "swap the two images"], ["S", "swipe between the two images"], ["Escape", `close the ${OBJECT}`]])),
    paragraph(`Made ${page.created} with deepnets4eo ${page.version}${page.frame.crs ? ` · ${page.frame.crs}` : ""}`),
  );
}

// Green only where images and outlines both fit and nothing else is in doubt.
function registrationWords() {
  const { status, residual_m: residual, footprints } = page.summary.registration;
  const assumed = page.summary.findings.some(({ code }) => code === "registration_assumed");
  const images = { ok: assumed ? "Images taken as aligned, not measured" : "Images aligned", degraded: "Images roughly aligned", failed: "Images could not be aligned" }[status] ?? "After image only";
  const outlines = { ok: "outlines on the roofs", degraded: "outlines roughly on the roofs", failed: "outlines could not be matched with roofs" }[footprints?.status];
  const exact = typeof residual === "number" && status in { ok: 0, degraded: 0 } ? ` · ± ${residual.toFixed(1)} m` : "";
  const words = `${images}${exact}${outlines ? ` · ${outlines}` : ""}`;
  const doubts = [status, footprints?.status, ...page.summary.findings.map(({ severity }) => ({ worthless: "failed", caution: "degraded" })[severity])];
  const light = doubts.includes("failed") ? "failed" : doubts.includes("degraded") ? "degraded" : status ? "ok" : null;
  return light ? [make("i", { class: `light ${light}`, "aria-hidden": "true" }), words] : [words];
}

function moved({ dx_m: right, dy_m: down, status }) {
  if (typeof right !== "number" || status === "failed") return status === "failed" ? "no, they could not be matched" : null;
  return `${Math.abs(right).toFixed(1)} m ${right < 0 ? "left" : "right"}, ${Math.abs(down).toFixed(1)} m ${down < 0 ? "up" : "down"}`;
}

function registrationFacts() {
  const registration = page.summary.registration, outlines = registration.footprints ?? {}, metres = (value) => (typeof value === "number" ? `${value.toFixed(2)} m` : null);
  return [["Result", registration.status ?? "not done: no before image"], ["Reason", registration.reason], ["Model", registration.model], ["Shift found", metres(registration.shift_m)], ["Residual at check points", metres(registration.residual_m)], ["Check windows that agree", registration.inliers && `${registration.inliers} of ${registration.tie_points}`], ["Outlines moved onto the roofs", moved(outlines)]];
}
