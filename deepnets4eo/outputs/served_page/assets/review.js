// One unit of the sample at a time, such as a building: its chips, one key an answer. Each answer is sent at once, with what this page saw before it.
"use strict";

const TITLES = { pre: "Before", post: "After", image: "Image" };
const AHEAD = 2; // buildings whose chips are loaded before they are needed
const pictures = new Map(); // path of a chip → its element
const taken = []; // answers of this page that can be undone: row and what was there before
let sample, rows = [], at = 0, wide = false, outlined = true, stated = -1;

const titleOf = (key) => sample.choices.find((choice) => choice.key === key)?.title ?? key;

async function start() {
  sample = await load("sample.json");
  ({ rows } = sample);
  $("synthetic").hidden = !sample.synthetic;
  $("facts").textContent = [sample.event, sample.place, sample.reviewer && `Reviewer: ${sample.reviewer}`].filter(Boolean).join(" · ");
  addChoices(sample.choices, keyOf, (choice) => inTurn(() => answer(choice.key)));
  addMeanings(sample.meanings ?? []);
  at = Math.max(rows.findIndex((row) => !row.answer), 0);
  show();
  state();
}

// What answers mean that are mistaken for one another: a sentence and a picture, before and after, of each.
function addMeanings(meanings) {
  $("meanings").hidden = !meanings.length;
  $("meanings").open = !answered(); // until the first answer
  $("grades").append(...meanings.map(({ key, text }) => make("figure", {}, make("img", { src: `meanings/${key}`, alt: `A building before and after: ${titleOf(key).toLowerCase()}`, width: 672, height: 336 }), make("figcaption", {}, make("b", {}, titleOf(key)), ` ${text}`))));
}

// 1 to 9, and 0 for the last.
const keyOf = (number) => number === sample.choices.length - 1 ? "0" : number < 9 ? String(number + 1) : "";

const answered = () => rows.filter((one) => one.answer).length;

// What the answers say, anew after each round of them; buildings that were chosen then join the rows.
async function state() {
  if (stated >= 0 && Math.floor(answered() / sample.round) === Math.floor(stated / sample.round)) return;
  stated = answered();
  const sent = await send("state", {}, "deepnets4eo review");
  if (!sent?.ok) return;
  $("state").hidden = false;
  $("state").className = sent.now.enough ? "enough" : "";
  $("state").replaceChildren(...sent.now.lines.map((line) => make("li", {}, line)));
  if (sent.now.added) inTurn(refresh);
}

function show() {
  const row = rows[at], done = answered();
  $("title").textContent = `${sample.unit[0].toUpperCase()}${sample.unit.slice(1)} ${at + 1} of ${rows.length}`;
  $("name").textContent = row.chosen ? `chosen to teach · ${row.id}` : row.id;
  showDone(done, rows.length, `${done} of ${rows.length} answered`);
  for (const choice of sample.choices) choice.button.setAttribute("aria-pressed", String(choice.key === row.answer));
  $("note").value = row.note ?? "";
  $("undo").disabled = !taken.length;
  $("wide").setAttribute("aria-pressed", String(wide));
  $("outline").setAttribute("aria-pressed", String(outlined));
  const roles = Object.keys(sample.images);
  $("chips").replaceChildren(...roles.map((role) => chip(row, role)));
  const near = [row, ...Array.from({ length: AHEAD }, (_, k) => rows[step(1, at, k)] ?? row)];
  const wanted = new Set(near.flatMap((one) => roles.map((role) => pathOf(one, role))));
  for (const path of wanted) picture(path);
  for (const path of pictures.keys()) if (!wanted.has(path)) pictures.delete(path);
}

const pathOf = (row, role) => `chips/${row.fid}/${role}/${wide ? "wide" : "near"}`;

function picture(path) {
  if (!pictures.has(path)) pictures.set(path, make("img", { src: path, alt: "" }));
  return pictures.get(path);
}

function chip(row, role) {
  const [left, top, width, height] = row.windows[Number(wide)];
  const image = picture(pathOf(row, role));
  image.alt = `The image ${TITLES[role].toLowerCase()}, around the ${sample.unit}`;
  const frame = make("div", { class: "chip" }, image);
  if (outlined) {
    const d = row.rings.map((ring) => `M${ring.map((point) => point.join(" ")).join("L")}Z`).join("");
    const svg = make("svg", { viewBox: `${left} ${top} ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(make("path", { d, class: "under" }), make("path", { d, class: "over" }));
    frame.append(svg);
  }
  const facts = [sample.images[role], role === "pre" && !sample.aligned && "does not lie on the image after", row.across_m && `${Math.round(row.across_m[Number(wide)])} m across`];
  return make("figure", {}, make("figcaption", {}, make("b", {}, TITLES[role]), ` ${facts.filter(Boolean).join(" · ")}`), frame);
}

// The row that is `by` farther than `from`, left out what is answered where only the others are wanted, and `skip` of those that remain.
function step(by, from, skip = 0) {
  for (let k = from + by; k >= 0 && k < rows.length; k += by) if (!($("unanswered").checked && rows[k].answer) && skip-- === 0) return k;
  return -1;
}

async function go(to) {
  await keepNote();
  if (to() < 0) return say($("unanswered").checked ? `No other ${sample.unit} without an answer in this direction.` : "This is the end of the sample.");
  at = to();
  complain("");
  show();
  say(`${$("title").textContent}, ${rows[at].answer ? `answered: ${titleOf(rows[at].answer)}` : "not answered"}.`);
}

async function answer(key) {
  const row = rows[at], isNew = !row.answer;
  if (!await save(row, { answer: key, note: noteNow() })) return;
  if (answered() === 1) $("meanings").open = false;
  const any = rows.findIndex((one) => !one.answer);
  const next = isNew ? nextOpen(row) : step(1, at);
  if (next >= 0) at = next;
  show();
  state();
  say(any < 0 ? `Saved: ${titleOf(key)}. All ${sample.unit}s are answered.` : `Saved: ${titleOf(key)}. ${$("title").textContent}.`);
}

// Drawn and chosen buildings in turn, those drawn always in their order, so that what is counted stays a random sample.
function nextOpen(last) {
  const open = rows.map((_, k) => k).filter((k) => !rows[k].answer);
  const others = open.filter((k) => rows[k].chosen !== last.chosen), these = others.length ? others : open;
  return these.find((k) => k > rows.indexOf(last)) ?? these[0] ?? -1;
}

async function undo() {
  const last = taken.pop();
  if (!last) return;
  at = rows.indexOf(last.row);
  const undone = await save(last.row, last.before, false);
  show();
  if (undone) say(`Taken back: ${last.before.answer ? titleOf(last.before.answer) : "not answered"}. ${$("title").textContent}.`);
}

const noteNow = () => $("note").value.trim() || null;

async function keepNote() {
  const row = rows[at];
  if (noteNow() !== (row.note || null) && await save(row, { answer: row.answer, note: noteNow() })) say("Note saved.");
}

// Sends an answer; where another page or program has changed the row since it was seen here, nothing is saved, and its answer is shown.
async function save(row, to, undoable = true) {
  const before = { answer: row.answer, note: row.note };
  const sent = await send("answers", { fid: row.fid, ...to, seen: before }, "deepnets4eo review");
  if (!sent) return false;
  const { now } = sent;
  if (sent.status === 409) {
    Object.assign(row, now);
    show();
    complain(`Not saved: meanwhile this ${sample.unit} was answered elsewhere: ${now.answer ? titleOf(now.answer) : "no answer"}${now.reviewer ? `, by ${now.reviewer}` : ""}. Answer again to replace that.`);
    return false;
  }
  if (!sent.ok) {
    complain(`Not saved: ${now.error}`);
    return false;
  }
  Object.assign(row, now);
  if (undoable) taken.push({ row, before });
  complain("");
  return true;
}

Object.assign(keys, { ArrowLeft: $("previous"), ArrowRight: $("next"), u: $("undo"), s: $("wide"), o: $("outline"), n: { click: () => $("note").focus() } });
$("previous").onclick = () => inTurn(() => go(() => step(-1, at)));
$("next").onclick = () => inTurn(() => go(() => step(1, at)));
$("undo").onclick = () => inTurn(undo);
$("wide").onclick = () => { wide = !wide; redraw(); };
$("outline").onclick = () => { outlined = !outlined; redraw(); };
$("note").onchange = () => inTurn(keepNote);
$("unanswered").onchange = () => { if ($("unanswered").checked && rows[at].answer) inTurn(() => go(() => Math.max(step(1, at), step(-1, at)))); };

function redraw() {
  const note = $("note").value; // not sent yet
  show();
  $("note").value = note;
}

async function refresh() {
  if (!sample) return;
  const now = new Map((await load("sample.json")).rows.map((row) => [row.fid, row]));
  for (const row of rows) Object.assign(row, now.get(row.fid));
  const known = new Set(rows.map((row) => row.fid));
  rows.push(...[...now.values()].filter((row) => !known.has(row.fid)));
  redraw();
}

whenSeenAgain(refresh);

start().catch((error) => complain(String(error)));
