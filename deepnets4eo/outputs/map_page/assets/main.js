// Everything wired: pointer, touch and keys move one view; a click or a row selects an object.

async function start() {
  fillHeader();
  fillSummary();
  const view = new View(page.frame, objectsBox(page.objects, page.frame)), outlines = new Outlines();
  const panels = new Panels(view, outlines);
  if (overview()) await panels.appear(); // very many objects take seconds to be unpacked
  const store = await loadObjects();
  outlines.load(store);
  const list = new List(store, outlines), card = new Card(store, panels, outlines), strip = new Strip(store, panels, outlines);
  fillLayers(list, panels, outlines);

  const select = (i, fly) => {
    panels.selected = i;
    list.mark(i);
    card.show(i);
    if (i >= 0) {
      showTab("list");
      uncover();
    }
    history.replaceState(null, "", i >= 0 ? `#id=${encodeURIComponent(store.ids[i])}` : "#");
    if (fly && i >= 0 && store.rings[i]) {
      const [x, y] = centre(store, i), size = outlines.size(view, i) / view.scale;
      const wanted = Math.min(Math.max((Math.min(view.width, view.height) * 0.22) / size, view.scaleFor(view.objects)), 8);
      view.fly(x, y, view.scale > wanted * 0.4 && view.scale < wanted * 2.5 ? view.scale : wanted);
    }
    panels.request();
  };
  list.onselect = select;
  strip.onselect = select;
  list.onfilter = () => {
    strip.fill(list.rows);
    panels.refresh();
  };
  panels.onimage = () => {
    card.drawChips();
    strip.draw();
  };
  card.onstep = (by) => (by ? list.step(by) : select(-1));
  panels.panels.forEach((panel, number) => steer(panel.canvas, number, { view, panels, outlines, select }));
  wireTools(view, panels);
  wireSwipe(panels);
  wireSaving(store, list);
  wirePrinting(store, panels);
  wireTabs();
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const press = (id) => () => document.getElementById(id).click();
    const acts = { n: () => list.step(1), p: () => list.step(-1), Escape: () => select(-1), o: press("outlines"), b: () => swap(panels, true), s: press("swipe"), "+": press("zoom-in"), "=": press("zoom-in"), "-": press("zoom-out"), 0: press("fit"), 1: press("fit-objects") };
    acts[event.key]?.();
  });
  document.addEventListener("keyup", (event) => event.key === "b" && swap(panels, false));
  list.apply();
  panels.resize(); // a view without its size cannot go to an object
  const follow = () => {
    const i = store.ids.indexOf(new URLSearchParams(location.hash.slice(1)).get("id"));
    if (i >= 0 && i !== panels.selected) select(i, true);
  };
  follow();
  addEventListener("hashchange", follow);
  document.body.dataset.ready = "true";
  return { store, view, outlines, panels, list };
}

const TAP_PX = 4; // a pointer that travels less taps

// Pointer and touch on one panel; both follow.
function steer(canvas, number, { view, panels, outlines, select }) {
  const fingers = new Map();
  let travelled = 0;
  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, local(event));
  };
  canvas.onpointermove = (event) => {
    const now = local(event), before = fingers.get(event.pointerId);
    if (event.pointerType === "mouse") hover(view, panels, number, now);
    if (!before) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (travelled < TAP_PX) return;
    canvas.classList.add("dragging");
    if (other) {
      const spread = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(Math.hypot(before[0] - other[0], before[1] - other[1]), 1);
      view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      view.zoomAt((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, spread);
    } else view.pan(now[0] - before[0], now[1] - before[1]);
  };
  const lift = (event) => {
    fingers.delete(event.pointerId);
    canvas.classList.remove("dragging");
    if (event.type === "pointerup" && travelled < TAP_PX && !fingers.size) tap(event);
  };
  const tap = (event) => {
    if (outlines.together) view.zoomAt(...local(event), 4);
    else select(outlines.at(view, ...local(event), event.pointerType === "mouse" ? 4 : 14), false);
  };
  panels.ontap = tap; // of the line over both panels
  canvas.onpointerup = canvas.onpointercancel = lift;
  canvas.onpointerleave = () => hover(view, panels, number, [null, null]);
  canvas.ondblclick = (event) => view.zoomAt(...local(event), 2);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
    view.zoomAt(...local(event), Math.exp(-Math.min(Math.max(pixels, -240), 240) * 0.0022));
  }, { passive: false });
  canvas.onkeydown = (event) => {
    const far = event.shiftKey ? 240 : 60;
    const acts = {
      ArrowLeft: () => view.pan(far, 0), ArrowRight: () => view.pan(-far, 0), ArrowUp: () => view.pan(0, far), ArrowDown: () => view.pan(0, -far),
      Home: () => view.fit(view.whole),
    };
    if (!(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
  };
}

function hover(view, panels, number, [x, y]) {
  panels.point(x, y, number);
  const place = x === null ? null : lonLat(view.toCol(x), view.toRow(y));
  document.getElementById("position").textContent = place ? `${place[1].toFixed(5)}, ${place[0].toFixed(5)}` : "";
}

function swap(panels, swapped) {
  if (panels.swapped === swapped || panels.sources.length < 2) return;
  panels.swapped = swapped;
  document.getElementById("blink").setAttribute("aria-pressed", String(swapped));
  panels.host.classList.toggle("swapped", swapped);
  panels.panels.forEach((panel, number) => {
    const source = panels.sources[swapped ? 1 - number : number];
    panel.label.replaceChildren(make("b", {}, imageTitle(source)), make("span", {}, source.source));
  });
  panels.request();
}

// On a phone the page scrolls: the images come to the top, above the card, which lies over the lower part.
function uncover() {
  const maps = document.getElementById("maps");
  if (getComputedStyle(maps).position === "sticky" && maps.getBoundingClientRect().top > 0) maps.scrollIntoView();
}

function wireTools(view, panels) {
  const by = (id) => document.getElementById(id), middle = () => [view.width / 2, view.height / 2];
  by("zoom-in").onclick = () => view.zoomAt(...middle(), 1.6);
  by("zoom-out").onclick = () => view.zoomAt(...middle(), 1 / 1.6);
  by("fit").onclick = () => view.fit(view.whole);
  by("fit-objects").onclick = () => view.fit(view.objects);
  by("opacity").oninput = () => {
    panels.opacity = by("opacity").value / 100;
    panels.request();
  };
  by("outlines").onclick = () => {
    panels.visible = !panels.visible;
    by("outlines").setAttribute("aria-pressed", String(panels.visible));
    panels.refresh();
  };
  by("blink").hidden = panels.sources.length < 2;
  by("blink").onpointerdown = () => swap(panels, true);
  by("blink").onpointerup = by("blink").onpointerleave = () => swap(panels, false);
  by("blink").onclick = (event) => event.detail === 0 && swap(panels, !panels.swapped); // a key cannot be held on a button: it toggles
}

function showTab(name) {
  for (const one of ["list", "summary"]) {
    const tab = document.getElementById(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === name));
    tab.tabIndex = one === name ? 0 : -1;
    document.getElementById(`view-${one}`).hidden = one !== name;
  }
}

function wireTabs() {
  for (const [one, other] of [["list", "summary"], ["summary", "list"]]) {
    const tab = document.getElementById(`tab-${one}`);
    tab.onclick = () => showTab(one);
    tab.onkeydown = (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      showTab(other);
      document.getElementById(`tab-${other}`).focus();
    };
  }
}

const running = start();
