// One tile of a scene under its labels: a class is chosen, a click corrects them. Each stroke is sent at once, with the state that this page saw.
"use strict";

const STEP_PX = 8, MARK_PX = 4, ASKED_PX = 11, LARGEST = 4, FEW = 10;
let page, state, labels = null, chosen = -1, cross = null, asked = null, zoom = 1, shown = true;

const tileOf = () => { const [row, col, height, width] = page.tiles[state.tile]; return { row, col, height, width }; };
const nameOf = (index) => page.classes[index]?.title ?? "without data";
const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

async function start() {
  page = await load("page.json");
  $("synthetic").hidden = !page.synthetic;
  $("name").textContent = page.title;
  addChoices(page.classes, (number) => (number < 9 ? String(number + 1) : ""), (choice) => inTurn(() => choose(choice)));
  page.tiles.forEach((_, number) => $("tile").append(make("option", { value: number })));
  $("moving").hidden = page.tiles.length < 2;
  await see(await load("state.json"));
}

// Shows a state, with the labels that belong to it. Where another page has gone on meanwhile, the newest.
async function see(now) {
  const moved = !state || state.tile !== now.tile;
  state = now;
  if (moved) [cross, asked] = [null, null];
  const response = await fetch(`labels/${state.version}`);
  if (!response.ok) return see(await load("state.json"));
  labels = new Uint8Array(await response.arrayBuffer());
  draw();
}

function draw() {
  const { height, width } = tileOf(), done = state.clicked.filter(Boolean).length;
  $("title").textContent = page.tiles.length > 1 ? `Tile ${state.tile + 1} of ${page.tiles.length}` : "Correct the labels";
  $("facts").textContent = page.gsd_m ? `${Math.round(width * page.gsd_m).toLocaleString("en")} m across` : `${width} × ${height} pixels`;
  showDone(done, page.tiles.length, `${count(state.clicks, "click", "clicks")}${page.tiles.length > 1 ? ` on ${done} of ${page.tiles.length} tiles` : ""}`);
  const path = `tile/${state.tile}`;
  if ($("image").getAttribute("src") !== path) $("image").src = path;
  paint(width, height);
  const { style } = $("frame"), side = Math.max(width, height);
  for (const [name, value] of [["--zoom", zoom], ["--wide", width / side], ["--high", height / side]]) style.setProperty(name, value);
  mark();
  page.classes.forEach((one, index) => one.button.setAttribute("aria-pressed", String(index === chosen)));
  $("undo").disabled = !state.undoable;
  $("follow").setAttribute("aria-pressed", String(state.follows));
  $("show").setAttribute("aria-pressed", String(shown));
  [$("larger").disabled, $("smaller").disabled] = [zoom >= LARGEST, zoom <= 1];
  [...$("tile").options].forEach((option, number) => { option.textContent = `${number + 1}${state.clicked[number] ? " ✓" : ""}`; });
  $("tile").value = state.tile;
}

function paint(width, height) {
  const canvas = $("labels");
  Object.assign(canvas, { width, height, hidden: !shown });
  canvas.style.opacity = $("strength").value / 100;
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer); // little-endian: alpha, blue, green, red
  const table = new Uint32Array(256);
  page.classes.forEach(({ color: [red, green, blue] }, index) => { table[index] = (0xff000000 | blue << 16 | green << 8 | red) >>> 0; });
  labels.forEach((index, at) => { pixels[at] = table[index]; });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Discs where clicks are, a ring where one is asked for, and the cross.
function mark() {
  const { height, width } = tileOf();
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const [row, col, index] of state.marks) {
    const disc = make("circle", { cx: col + .5, cy: row + .5, r: MARK_PX, class: "over" });
    disc.style.fill = `rgb(${page.classes[index].color.join(" ")})`;
    svg.append(make("circle", { cx: col + .5, cy: row + .5, r: MARK_PX, class: "under" }), disc);
  }
  if (asked) for (const kind of ["under", "asked"]) svg.append(make("circle", { cx: asked[1] + .5, cy: asked[0] + .5, r: ASKED_PX, class: kind }));
  if (cross) {
    const [y, x] = [cross[0] + .5, cross[1] + .5], d = `M${x - 9} ${y}h6M${x + 3} ${y}h6M${x} ${y - 9}v6M${x} ${y + 3}v6`;
    for (const kind of ["under", "over"]) svg.append(make("path", { d, class: kind }));
  }
  $("picture").querySelector("svg")?.remove();
  $("picture").append(svg);
}

function choose(choice) {
  chosen = page.classes.indexOf(choice);
  draw();
  say(`The next click is ${choice.title}.`);
}

const there = ([row, col]) => `Row ${row + 1}, column ${col + 1}: ${nameOf(labels[row * tileOf().width + col])}`;

// Sends an act; a page that was behind another one shows the present state and does nothing.
async function act(path, body = {}) {
  document.body.classList.add("working");
  const sent = await send(path, { version: state.version, ...body }, "deepnets4eo clicks");
  document.body.classList.remove("working");
  if (!sent) return null;
  if (sent.status === 409) {
    await see(sent.now);
    complain("Not saved: another page has gone on meanwhile. This is how it is now; do it again where you still want to.");
    return null;
  }
  if (!sent.ok) {
    complain(`Not saved: ${sent.now.error}`);
    return null;
  }
  complain("");
  await see(sent.now);
  return sent.now;
}

async function click(at) {
  if (chosen < 0) return say("Choose a class first.");
  cross = at;
  const now = await act("click", { row: at[0], col: at[1], class: chosen });
  if (!now) return;
  if (asked && Math.hypot(asked[0] - at[0], asked[1] - at[1]) <= ASKED_PX) { asked = null; mark(); }
  const hint = now.changed < FEW && !now.follows ? " Press A to let weights follow the clicks." : "";
  say(`Saved: ${nameOf(chosen)}. ${count(now.changed, "pixel is", "pixels are")} labelled anew.${hint}`);
}

async function ask() {
  const now = await act("next");
  if (!now) return;
  [cross, asked] = [now.next, now.next];
  mark();
  look();
  say(`Asked for: ${there(asked)}. Choose its class and press Enter.`);
}

async function undo() {
  const now = await act("undo");
  if (now) say(`Taken back. ${count(now.changed, "pixel is", "pixels are")} labelled anew.`);
}

async function follow() {
  const now = await act("follow", { on: !state.follows });
  if (now) say(`${now.follows ? "Weights follow the clicks" : "Weights are as they were before any click"}. ${count(now.changed, "pixel is", "pixels are")} labelled anew.`);
}

async function go(number) {
  if (number !== null && !page.tiles[number]) return say("There is no further tile.");
  const now = await act("tile", { number });
  if (now) say(now.all ? "All tiles have clicks." : `${$("title").textContent}. ${count(state.marks.length, "click", "clicks")}.`);
}

// Keeps the cross in sight where the picture is larger than its frame.
function look() {
  const { height, width } = tileOf(), frame = $("frame"), box = $("picture");
  frame.scrollTo((cross[1] / width) * box.clientWidth - frame.clientWidth / 2, (cross[0] / height) * box.clientHeight - frame.clientHeight / 2);
}

function resize(to) {
  zoom = Math.min(Math.max(to, 1), LARGEST);
  draw();
  if (cross) look();
}

$("picture").onclick = (event) => {
  const { height, width } = tileOf(), box = $("picture").getBoundingClientRect();
  const at = [Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width)];
  inTurn(() => click([Math.min(Math.max(at[0], 0), height - 1), Math.min(Math.max(at[1], 0), width - 1)]));
};

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
$("picture").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !state) return;
  const { height, width } = tileOf();
  cross ??= [height >> 1, width >> 1];
  if (event.key === "Enter" || event.key === " ") inTurn(() => click(cross));
  else if (ARROWS[event.key]) {
    const by = event.shiftKey ? 1 : STEP_PX, [down, right] = ARROWS[event.key];
    cross = [Math.min(Math.max(cross[0] + by * down, 0), height - 1), Math.min(Math.max(cross[1] + by * right, 0), width - 1)];
    mark();
    if (zoom > 1) look();
    say(`${there(cross)}.`);
  } else return;
  event.preventDefault();
});

Object.assign(keys, { n: $("ask"), u: $("undo"), a: $("follow"), l: $("show"), "+": $("larger"), "-": $("smaller"), ",": $("previous"), ".": $("next"), t: $("doubtful") });
$("ask").onclick = () => inTurn(async () => { await ask(); $("picture").focus({ preventScroll: true }); });
$("undo").onclick = () => inTurn(undo);
$("follow").onclick = () => inTurn(follow);
$("show").onclick = () => inTurn(() => { shown = !shown; draw(); });
$("strength").oninput = () => { $("labels").style.opacity = $("strength").value / 100; };
$("larger").onclick = () => inTurn(() => resize(zoom * 2));
$("smaller").onclick = () => inTurn(() => resize(zoom / 2));
$("previous").onclick = () => inTurn(() => go(state.tile - 1));
$("next").onclick = () => inTurn(() => go(state.tile + 1));
$("doubtful").onclick = () => inTurn(() => go(null));
$("tile").onchange = () => inTurn(() => go(Number($("tile").value)));
whenSeenAgain(async () => { if (state) await see(await load("state.json")); });

inTurn(start); // whatever is pressed waits for it
