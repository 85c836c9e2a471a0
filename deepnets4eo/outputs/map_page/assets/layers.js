// The box of layers: classes of the objects with their counts, rasters over the images, lines; each with its swatch, and on or off.

const swatch = (kind, color) => {
  const made = make("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  if (color) made.style.setProperty("--class", `rgb(${color.join(",")})`);
  return made;
};

function fillLayers(list, panels, outlines) {
  const host = document.getElementById("chips"), key = document.getElementById("layers-key");
  for (const index of [...DRAWN].reverse()) {
    const { count, least, range, told, empty } = chipOf(index);
    if (empty) continue;
    const { key: name, title } = classes[index], text = count === null ? "–" : least ? apart(`≥ ${number(count)}`) : number(count);
    const content = [pie(index), make("span", { class: "chip-title" }, title), make("b", {}, text), make("span", { class: "chip-range" }, range)];
    host.append(layer({ "data-class": name, title: t`${title}: ${told}. Press to show or hide.` }, content, true, () => list.toggle(index)));
    if (count) key.append(make("span", { class: "keyed" }, pie(index), text));
  }
  for (const over of panels.over) {
    const title = word(over.role), turn = () => {
      over.visible = !over.visible;
      panels.request();
    };
    host.append(layer({ "data-layer": over.role, title: t`${title}: press to show or hide.` }, [swatch(over.kind, over.colour), make("span", { class: "chip-title" }, title)], over.visible, turn));
    if (over.visible) key.append(make("span", { class: "keyed" }, swatch(over.kind, over.colour)));
  }
  for (const lines of page.lines) {
    const title = word(lines.title), turn = () => {
      lines.visible = !lines.visible;
      panels.refresh();
    };
    host.append(layer({ "data-layer": lines.title, title: t`${title}: press to show or hide.` }, [swatch(lines.hatched.length ? "hatched" : "dashed"), make("span", { class: "chip-title" }, title)], lines.visible, turn));
  }
  document.getElementById("layers").open = innerWidth > PHONE_PX;
}

function layer(attributes, content, shown, turn) {
  const chip = make("button", { class: "chip", "aria-pressed": String(shown), ...attributes }, ...content);
  chip.onclick = () => {
    turn();
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") === "false"));
  };
  return chip;
}

// The rasters and lines that are shown, for the legend of the printed sheet.
function layerLegend(panels) {
  const shown = [...panels.over.filter((over) => over.visible).map((over) => [swatch(over.kind, over.colour), word(over.role)]), ...page.lines.filter((lines) => lines.visible).map((lines) => [swatch(lines.hatched.length ? "hatched" : "dashed"), word(lines.title)])];
  return shown.length ? make("ul", { class: "keys" }, ...shown.map(([mark, title]) => make("li", {}, mark, title))) : "";
}
