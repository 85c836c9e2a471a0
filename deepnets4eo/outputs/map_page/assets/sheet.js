// Two pages of paper: first both images as they are seen now, as wide as the page, then what the kind of map states about them.

const SHEET_PX = { width: 760, highest: 800 }; // of one image of two, so low that the first lines fit above it; drawn twice as fine
const MAX_FILES = 12;

function wirePrinting(store, panels) {
  const host = document.getElementById("sheet");
  const fill = () => host.replaceChildren(...sheetParts(store, panels));
  const empty = () => host.replaceChildren(); // large canvases are not kept
  addEventListener("beforeprint", fill);
  addEventListener("afterprint", empty);
  let idle = 0;
  panels.ondraw = () => {
    clearTimeout(idle); // images cannot be loaded while the page is printed: those beyond the screen are loaded when the view rests
    idle = setTimeout(() => [...panels.sources, ...panels.over.filter((over) => over.visible)].forEach((source) => [...panels.inSight(source, paperView(panels))]), 300);
  };
  matchMedia("print").addEventListener("change", ({ matches }) => (matches ? fill() : empty()));
}

function sheetParts(store, panels) {
  const view = paperView(panels), facts = [...eventFacts(), ...(page.frame.lonlat ? [[t`Middle (latitude, longitude)`, middleOf(view)]] : []), [t`State of`, page.state], [t`Made with`, `deepnets4eo ${page.version}`]];
  const shown = panels.outlines.shown.reduce((sum, one) => sum + one, 0);
  return [
    make("div", { class: "sheet-pictures" },
      make("div", { class: "sheet-images" }, ...panels.sources.map((source, number) => paperImage(panels, source, view, number === panels.sources.length - 1))), sheetLegend(panels)),
    shown < store.count ? paragraph(t`Of ${objects(store.count)} the images show the ${number(shown)} chosen in the list.`) : "",
    panels.visible && panels.outlines.together ? paragraph(document.getElementById("together").textContent) : "",
    sheetFindings(),
    make("div", { class: "sheet-columns" },
      box(t`Legend and counts`, ...legendParts()),
      box(t`What this is`, factList(facts), box(t`Images and files`, factList(fewFiles(inputFacts())))),
      caveatsBox(...sheetNotes()),
      registrationBox()),
  ];
}

// The classes and layers in one line below the images.
const sheetLegend = (panels) => make("div", { class: "sheet-legend" }, ...DRAWN.toReversed().filter((index) => !chipOf(index).empty && chipOf(index).count).map((index) => make("span", {}, pie(index), classes[index].title)), layerLegend(panels));

// The findings behind the first one, which is printed above the images.
function sheetFindings() {
  const more = document.getElementById("findings-more");
  return more ? make("ul", { class: "sheet-findings" }, ...more.cloneNode(true).children) : "";
}

// A mosaic of many tiles would take a page of its own.
function fewFiles(files) {
  return files.length > MAX_FILES ? [...files.slice(0, MAX_FILES), ["…", t`and ${number(files.length - MAX_FILES)} more`]] : files;
}

// The same place as on the screen, in the shape that it has there.
function paperView(panels) {
  const { width: wide, height: high, scale } = panels.view;
  const view = new View(page.frame, null), width = panels.sources.length > 1 ? SHEET_PX.width : 2 * SHEET_PX.width;
  Object.assign(view, { width, height: Math.round(Math.min((width * high) / wide, SHEET_PX.highest)), x: panels.view.x, y: panels.view.y });
  view.scale = Math.max(Math.min(view.width / wide, view.height / high), 1e-3) * scale;
  return view;
}

function middleOf(view) {
  const [lon, lat] = lonLat(view.x, view.y);
  return `${lat.toFixed(5)}, ${lon.toFixed(5)}`;
}

function paperImage(panels, source, view, last) {
  const canvas = make("canvas", { width: 2 * view.width, height: 2 * view.height }), context = canvas.getContext("2d");
  context.setTransform(2, 0, 0, 2, 0, 0);
  panels.drawImages(context, source, view);
  if (panels.visible) {
    const overlay = make("canvas", { width: canvas.width, height: canvas.height }), brush = overlay.getContext("2d");
    brush.setTransform(2, 0, 0, 2, 0, 0);
    panels.outlines.draw(brush, view);
    context.globalAlpha = panels.opacity;
    context.drawImage(overlay, 0, 0, view.width, view.height);
    context.globalAlpha = 1;
  }
  if (panels.selected >= 0) panels.outlines.select(context, view, panels.selected);
  const figure = make("figure", { class: "panel" }, canvas, make("p", { class: "label" }, make("b", {}, imageTitle(source)), make("span", {}, source.source)));
  if (last) {
    figure.append(scaleBar("sheet-scale"), northArrow());
    updateScaleBar(figure.querySelector(".scale"), view);
  }
  return figure;
}
