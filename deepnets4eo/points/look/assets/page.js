// Fills the page: unpacks the points, offers colours and classes.
(async () => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const packed = atob(document.getElementById("points").textContent.trim());
  const zipped = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const raw = await new Response(new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const { count } = content;
  const xyz = new Uint16Array(raw, 0, 3 * count);
  const classes = new Uint8Array(raw, 6 * count, count);
  const rgb = content.coloured ? new Uint8Array(raw, 7 * count) : null;
  const word = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  const palettes = {
    class: () => {
      const words = content.classes.map((one) => word(...one.colour));
      return Uint32Array.from(classes, (index) => words[index]);
    },
    own: () => Uint32Array.from(classes, (_, i) => word(rgb[i], rgb[count + i], rgb[2 * count + i])),
    height: () => Uint32Array.from(classes, (_, i) => {
      const share = Math.min(1, Math.max(0, (xyz[2 * count + i] * content.step - content.low) / (content.high - content.low)));
      const wave = (shift) => Math.round(255 * Math.min(1, Math.max(0.12, 1.5 - Math.abs(4 * share - shift))));
      return word(wave(3), wave(2), wave(1));
    }),
  };
  const canvas = document.getElementById("view");
  const renderer = new Renderer(canvas, content.size);
  const points = { count, xyz, step: content.step, classes, colours: null, shown: new Uint8Array(256).fill(1) };
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      renderer.draw(points);
    });
  };

  if (content.classes.length > 1) {
    content.classes.forEach((one, index) => {
      const label = document.getElementById("classes").appendChild(document.createElement("label"));
      const tick = label.appendChild(document.createElement("input"));
      [tick.type, tick.checked] = ["checkbox", true];
      label.appendChild(document.createElement("i")).style.background = `rgb(${one.colour.join(",")})`;
      label.appendChild(document.createElement("span")).textContent = one.name;
      label.appendChild(document.createElement("small")).textContent = one.points.toLocaleString("en");
      tick.addEventListener("change", () => {
        points.shown[index] = tick.checked ? 1 : 0;
        redraw();
      });
    });
  }
  const colour = document.getElementById("colour");
  if (content.classes.length > 1) colour.add(new Option("class", "class"));
  if (content.coloured) colour.add(new Option("of the points", "own"));
  colour.add(new Option("height", "height"));
  const paint = () => {
    points.colours = palettes[colour.value]();
    redraw();
  };
  colour.addEventListener("change", paint);
  document.getElementById("reset").addEventListener("click", () => {
    renderer.reset();
    redraw();
  });
  document.getElementById("top").addEventListener("click", () => {
    renderer.reset(0, Math.PI / 2);
    redraw();
  });
  connectControls(canvas, renderer, redraw);
  new ResizeObserver(redraw).observe(canvas);
  paint();
  requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.ready = ""; }));
})();
