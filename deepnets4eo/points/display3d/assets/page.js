// Fills the page: unpacks the points, offers classes and groups, shows the card of a building.
(function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const packed = atob(document.getElementById("points").textContent.trim());
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const { count } = content;
  const xyz = new Uint16Array(bytes.buffer, 0, 3 * count);
  const rest = bytes.subarray(6 * count);
  const classes = new Uint8Array(count);
  const word = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  const palettes = { own: new Uint32Array(count), height: new Uint32Array(count), class: new Uint32Array(count) };
  for (let i = 0, j = 0; i < count; i++, j += 7) {
    classes[i] = rest[j + 6];
    palettes.own[i] = word(rest[j], rest[j + 1], rest[j + 2]);
    palettes.height[i] = word(rest[j + 3], rest[j + 4], rest[j + 5]);
    const one = content.classes[classes[i]];
    palettes.class[i] = one ? word(...one.colour) : palettes.height[i];
  }
  const shown = new Uint8Array(256).fill(1);
  const hidden = new Set();
  const canvas = document.getElementById("view");
  const renderer = new Renderer(canvas, content.size);
  const points = { xyz, step: content.scale, colours: palettes.own, shown, classes };
  let chosen = "";
  let waiting = false;

  const lines = () => content.boxes.filter((box) => !hidden.has(box.group)).flatMap((box) => {
    const colour = word(...(box.name === chosen ? [255, 255, 255] : box.colour));
    const thick = box.name === chosen ? 2 : 1;
    return box.rings.flatMap((ring) => ring.slice(1).flatMap(([x1, y1], k) => {
      const [x0, y0] = ring[k];
      const sides = [[x0, y0, box.top, x1, y1, box.top, colour, thick]];
      if (box.top > box.bottom) {
        sides.push([x0, y0, box.bottom, x1, y1, box.bottom, colour, thick], [x0, y0, box.bottom, x0, y0, box.top, colour, thick]);
      }
      return sides;
    }));
  });
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      renderer.draw(points, lines());
    });
  };

  const middle = (box) => {
    const ring = box.rings[0].slice(1);
    const mean = (axis) => ring.reduce((sum, corner) => sum + corner[axis], 0) / ring.length;
    return [mean(0), mean(1), box.top];
  };
  const list = document.getElementById("building");
  const choose = (name) => {
    chosen = name;
    list.value = name;
    const card = document.getElementById("card");
    card.replaceChildren();
    const box = content.boxes.find((one) => one.name === name);
    if (box) {
      const table = card.appendChild(document.createElement("table"));
      for (const [label, value] of box.facts) {
        const row = table.insertRow();
        row.insertCell().textContent = label;
        row.insertCell().textContent = value;
      }
    }
    redraw();
  };
  const pick = (event) => {
    const area = canvas.getBoundingClientRect();
    const ratio = canvas.width / area.width;
    const [x, y] = [(event.clientX - area.left) * ratio, (event.clientY - area.top) * ratio];
    const pose = renderer.pose();
    let best = ["", 45 * ratio];
    for (const box of content.boxes) {
      if (hidden.has(box.group)) continue;
      const at = renderer.project(pose, ...middle(box));
      const away = at[2] > 0 ? Math.hypot(at[0] - x, at[1] - y) : Infinity;
      if (away < best[1]) best = [box.name, away];
    }
    choose(best[0]);
  };

  const row = (home, name, colour, number, toggle) => {
    const label = home.appendChild(document.createElement("label"));
    const tick = label.appendChild(document.createElement("input"));
    [tick.type, tick.checked, tick.name] = ["checkbox", true, name];
    label.appendChild(document.createElement("i")).style.background = `rgb(${colour.join(",")})`;
    label.appendChild(document.createElement("span")).textContent = name;
    label.appendChild(document.createElement("small")).textContent = number.toLocaleString("en");
    tick.addEventListener("change", () => { toggle(tick.checked); redraw(); });
  };
  content.classes.forEach((one, index) => row(document.getElementById("classes"), one.name, one.colour, one.points,
    (on) => { shown[index] = on ? 1 : 0; }));
  for (const group of new Set(content.boxes.map((box) => box.group))) {
    const members = content.boxes.filter((box) => box.group === group);
    row(document.getElementById("groups"), group, members[0].colour, members.length,
      (on) => (on ? hidden.delete(group) : hidden.add(group)));
  }
  for (const box of content.boxes) list.add(new Option(box.name, box.name));
  const colour = document.getElementById("colour");
  if (content.coloured) colour.add(new Option("of the points", "own"));
  if (content.classes.length) colour.add(new Option("class", "class"));
  colour.add(new Option("height", "height"));
  const paint = () => { points.colours = palettes[colour.value]; redraw(); };
  colour.addEventListener("change", paint);
  list.addEventListener("change", () => choose(list.value));
  document.getElementById("reset").addEventListener("click", () => { renderer.reset(); redraw(); });
  document.getElementById("top").addEventListener("click", () => {
    renderer.reset();
    [renderer.turn, renderer.rise] = [0, Math.PI / 2];
    redraw();
  });
  document.getElementById("thinned").textContent = `${count.toLocaleString("en")} points are shown.`;
  connectControls(canvas, renderer, redraw, pick);
  new ResizeObserver(redraw).observe(canvas);
  paint();
  requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.ready = ""; }));
})();
