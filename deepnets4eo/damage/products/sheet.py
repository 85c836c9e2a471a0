"""sheet.pdf and sheet.png: one page of paper with both images, findings, caveats, legend and counts, areas, sources and a locator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.areas import OUTSIDE
from deepnets4eo.damage.products.content import AREAS_FILE
from deepnets4eo.damage.products.sheet_drawing import VIOLET, draw_damage, draw_graticule, hex_colors, is_together
from deepnets4eo.damage.products.summary import caveats
from deepnets4eo.damage.products.words import ASSETS, count_sentence, translate
from deepnets4eo.damage.settings import ProductOptions
from deepnets4eo.damage.table.vocabulary import SUBJECT, TITLES, UNGRADED, worst_first
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, read_json
from deepnets4eo.grid import Grid, gsd_m, transformer
from deepnets4eo.outputs import LABELS, Language, number_text
from deepnets4eo.outputs.map_page import is_right_to_left
from deepnets4eo.rasters import is_placed, length_unit
from deepnets4eo.registration import UNMOVED, on_post_grid
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deepnets4eo.damage.products.content import DamageMapContent
    from deepnets4eo.outputs import Finding
    from deepnets4eo.rasters import Layer

PAPERS = {"a4": (297.0, 210.0), "a3": (420.0, 297.0)}  # millimetres, landscape
DPI = 200
MM = 1 / 25.4
EDGE = 8.0  # of the page, millimetres on A4; all lengths grow with the paper
WIDTH, GAP, GLOBE = 281.0, 5.0, 38.0  # inside the edges, between maps and panels, of the globe
COLUMN = 68.0  # width of the panels beside the maps at least
MAP_LEFT, MAP_EDGES, MIN_MAP = 5.0, 10.0, 20.0  # room for degrees and titles; the least height of a map
MAP_PX = 1400  # along the longer side of an image on A4
CAUTION_PT, CAVEAT_PT, NOTE_PT = 9.0, 8.5, 7.0  # points
LINE_MM, SKIP_MM = 0.54, 1.0  # millimetres of a line by point, and between paragraphs
MAX_CAUTIONS, MAX_BELOW = 3, 0.45  # that room is kept for below the maps; share of the height for words
AREA_COLUMNS = (0.42, 0.64, 0.80, 1.0)  # right edges, of the width
RED = "#b00000"
STEPS = [digit * 10.0**power for power in range(-5, 8) for digit in (1, 2, 5)]


def write_sheet(
    damage_map: DamageMapContent,
    path: str | Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    options: ProductOptions = ProductOptions(),
) -> Path:
    """Write the sheet, PDF or PNG by the suffix. pre : the image before, as it was read. Errors: InputError for a matplotlib too old for the language; OutputError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _check_shaping(options.words)
    width, height = PAPERS[options.paper]
    figure = Figure((width * MM, height * MM))
    FigureCanvasAgg(figure)
    page = _Page(figure, options.words, options.paper)
    if pre is not None:
        pre = on_post_grid(pre, post.grid, damage_map.registration.get("matrix", UNMOVED))
    _compose(page, damage_map, post, pre)
    path = Path(path)
    nothing = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=DPI, metadata=nothing)
    return path


def _check_shaping(language: Language) -> None:
    import matplotlib

    if is_right_to_left(language) and tuple(map(int, matplotlib.__version__.split(".")[:2])) < (3, 11):
        raise InputError(
            f"the language is {language}, whose letters matplotlib {matplotlib.__version__} does not join. Install matplotlib 3.11 or later."
        )


@dataclass(frozen=True)
class _Page:
    """A page laid out in millimetres of A4 from its left upper corner; mirrored where its language is."""

    figure: Figure
    language: Language
    paper: str

    @property
    def zoom(self) -> float:
        return PAPERS[self.paper][0] / PAPERS["a4"][0]

    @property
    def mirrored(self) -> bool:
        return is_right_to_left(self.language)

    def say(self, text: str) -> str:
        return translate(text, self.language)

    def number(self, value: float, form: str = ",.0f") -> str:
        return number_text(value, self.language, form)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        page_width, page_height = PAPERS["a4"]
        if self.mirrored:
            left = page_width - left - width
        box = (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
        return self.figure.add_axes(box)

    def panel(self, left: float, top: float, width: float, height: float, title: str = "") -> _Panel:
        axes = self.axes(left, top, width, height)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        panel = _Panel(self, axes, width, height)
        if title:
            panel.write(self.say(title), 7.5, bold=True)
        return panel


@dataclass
class _Panel:
    """Text from the top down; what does not fit is left out."""

    page: _Page
    axes: Axes
    width: float
    height: float
    y: float = 0.0

    def write(self, text: str, size: float = 6.0, *, bold: bool = False, color: str = "black") -> None:
        """Write a paragraph, wrapped."""
        for line in _wrapped(text, size, bold, self.width):
            self.cells([(0.0, line, "start")], size, bold=bold, color=color)

    def fact(self, label: str, value: str, size: float, *, bold: bool = False) -> None:
        """Write a line of a label and its value, set apart because their letters may run in different directions."""
        value = value.strip()
        label = f"{label}:" if value and not value.startswith("(") else label
        begin = _width_mm(f"{label} ", size, bold) + size * 0.1
        self.cells(
            [(0.0, label, "start"), (begin, _shortened(value, size, self.width - begin), "start")], size, bold=bold
        )

    def cells(
        self, cells: Sequence[tuple[float, str, str]], size: float = 6.0, *, bold: bool = False, color: str = "black"
    ) -> bool:
        """Write a line of texts that begin or end at positions (mm); returns whether it fitted."""
        step = size * 0.50
        if self.y + step > self.height:
            return False
        self.y += step
        for position, text, side in cells:
            leftward = (side == "start") == self.page.mirrored
            x = self.width - position if self.page.mirrored else position
            self.axes.text(
                x, self.y, text, size=size * self.page.zoom, ha="right" if leftward else "left", va="baseline",
                weight="bold" if bold else "normal", color=color, parse_math=False,
            )  # fmt: skip
        self.y += size * 0.04
        return True

    def swatch(self, color: str, *, dashed: bool = False) -> None:
        """Draw a frame, or a dashed line, before the last line."""
        left = self.width - 3.5 if self.page.mirrored else 0.3
        right, low, high = left + 3.2, self.y, self.y - 2.0
        if dashed:
            low = high = (low + high) / 2
        x, y = [left, right, right, left, left], [low, low, high, high, low]
        self.axes.plot(x, y, color=color, linewidth=1.3 * self.page.zoom, linestyle="--" if dashed else "-")


def _wrapped(text: str, size: float, bold: bool, width: float) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and _width_mm(longer, size, bold) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def _width_mm(text: str, size: float, bold: bool = False) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return (
        1.03 * float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72 / MM
    )  # drawn a little wider


def _shortened(text: str, size: float, width: float) -> str:
    """Return the text, with an ellipsis if it is wider than `width` millimetres."""
    if _width_mm(text, size) <= width:
        return text
    while text and _width_mm(text + "…", size) > width:
        text = text[: max(len(text) * 9 // 10, 0) if len(text) > 10 else len(text) - 1]
    return text + "…"


def _compose(page: _Page, damage_map: DamageMapContent, post: Layer, pre: Layer | None) -> None:
    """Compose the title and the worst finding, maps of both images, findings and caveats below them, and a column of panels at the side."""
    event, images = damage_map.event, {"post": post} if pre is None else {"pre": pre, "post": post}
    known = ", ".join(text for text in (event.name, event.location) if text)
    head = page.panel(EDGE, 6, WIDTH, 30)
    head.fact(page.say(SUBJECT), known + (" (SYNTHETIC)" if damage_map.synthetic else ""), 14, bold=True)
    cautions = [finding for finding in damage_map.findings if finding.severity != "note"]
    for finding in cautions[:1]:
        head.write(_shortened(_in_words(page, finding), CAUTION_PT, 2.5 * WIDTH), CAUTION_PT, color=RED)
    top = 6 + head.y + 7
    words = _words_below(page, damage_map, cautions[1:])
    room = 210 - EDGE - top
    below = min(_height_mm(words, WIDTH - COLUMN - GAP), MAX_BELOW * room)
    layout = _layout(post.grid, len(images), (WIDTH - COLUMN - GAP, room - below))
    column = max(WIDTH - layout.width - GAP, COLUMN)
    scale = math.nan
    for (role, image), (left, upper) in zip(images.items(), layout.corners, strict=True):
        axes = page.axes(EDGE + left, top + upper, layout.map_width, layout.map_height)
        scale = _draw_map(page, axes, damage_map, image, role)
    text = page.panel(EDGE, top + layout.height, WIDTH - column - GAP, room - layout.height)
    for line, size, color in words:
        text.write(line, size, color=color)
        text.y += SKIP_MM
    _column(page, damage_map, post, (top, column, room), scale)


@dataclass(frozen=True)
class _Layout:
    """The positions of the maps in their part of the page, millimetres: upper left corners, the size of each map and of all maps."""

    corners: list[tuple[float, float]]
    map_width: float
    map_height: float
    width: float
    height: float


def _layout(grid: Grid, count: int, room: tuple[float, float]) -> _Layout:
    """Lay out maps side by side or one above the other, whichever shows them larger."""
    row_m, col_m = gsd_m(grid)
    aspect = grid.shape[1] * col_m / (grid.shape[0] * row_m)

    def height(across: int) -> float:
        return min((room[0] / across - MAP_LEFT) / aspect, room[1] / (count / across) - MAP_EDGES)

    across = max((count, 1), key=height)
    high = max(height(across), MIN_MAP)
    wide = min(high * aspect, room[0] / across - MAP_LEFT)
    cell_width, cell_height = wide + MAP_LEFT, high + MAP_EDGES
    corners = [(index % across * cell_width + MAP_LEFT, index // across * cell_height) for index in range(count)]
    return _Layout(corners, wide, high, across * cell_width, count / across * cell_height)


def _in_words(page: _Page, finding: Finding) -> str:
    return f"{page.say(LABELS[finding.severity]).upper()}: {finding.text(language=page.language)}"


def _words_below(
    page: _Page, damage_map: DamageMapContent, cautions: Sequence[Finding]
) -> list[tuple[str, float, str]]:
    """Return further findings and what users must know before use: text, size in points and colour."""
    caveat_text = f"{page.say('Read this before use')}: " + " ".join(page.say(text) for text in caveats(damage_map))
    lines = [
        (_shortened(_in_words(page, finding), CAUTION_PT, 380), CAUTION_PT, RED) for finding in cautions[:MAX_CAUTIONS]
    ]
    return [*lines, (caveat_text, CAVEAT_PT, "black")]


def _height_mm(words: Sequence[tuple[str, float, str]], width: float) -> float:
    return sum(len(_wrapped(text, size, False, width)) * size * LINE_MM + SKIP_MM for text, size, _ in words)


def _draw_map(page: _Page, axes: Axes, damage_map: DamageMapContent, image: Layer, role: str) -> float:
    """Draw an image with its title; buildings, scale bar and arrow only on the image after.

    Returns the scale, metres per metre of paper."""
    image.plot(axes, max_px=int(MAP_PX * page.zoom))
    axes.set_title("")
    event, after = damage_map.event, role == "post"
    named = [page.say("After" if after else "Before"), event.date_post if after else event.date_pre]
    left, right = reversed(named) if page.mirrored else named
    axes.set_title(left or "", loc="left", size=8 * page.zoom, weight="bold", pad=3)
    axes.set_title(right or "", loc="right", size=8 * page.zoom, weight="bold", pad=3)
    if after:
        draw_damage(axes, damage_map, page.zoom)
    draw_graticule(axes, image.grid, page.zoom)
    return _furnish(axes, image.grid, page) if after else math.nan


def _furnish(axes: Axes, grid: Grid, page: _Page) -> float:
    """Scale bar and north arrow; the scale, metres by metre of paper."""
    axes.apply_aspect()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    georeferenced = is_placed(grid)
    metres = _metres_across(grid, (left, right), (low + high) / 2) if georeferenced else right - left
    length = max(step for step in STEPS if step <= metres / 4)
    share, x, y = length / metres, 0.04, 0.05
    for end, color, width in ((x + share, "white", 4.0), (x + share / 2, "black", 2.5)):
        axes.plot(
            [x, end], [y, y], color=color, linewidth=width * page.zoom, transform=axes.transAxes, solid_capstyle="butt"
        )
    unit = length_unit(grid)
    text = f"{length / 1000:g} km" if length >= 1000 and unit == "m" else f"{length:g} {unit}"
    box = dict(facecolor="white", edgecolor="none", alpha=0.75, pad=0.8)
    axes.text(x, y + 0.025, text, size=6 * page.zoom, transform=axes.transAxes, bbox=box)
    if georeferenced:
        _draw_north(axes, grid, page)
    paper = axes.get_position().width * page.figure.get_figwidth() * 0.0254
    return metres / paper


def _metres_across(grid: Grid, x: tuple[float, float], y: float) -> float:
    from pyproj import Geod

    lon, lat = transformer(grid.crs, 4326).transform(list(x), [y, y])
    return float(Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2])


def _draw_north(axes: Axes, grid: Grid, page: _Page) -> None:
    """Draw an arrow to true north."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    middle = (left + right) / 2, (low + high) / 2
    lon, lat = transformer(grid.crs, 4326).transform(*middle)
    north = np.array(transformer(4326, grid.crs).transform(lon, lat + 1e-4)) - middle
    up = axes.transData.transform(np.add(middle, north)) - axes.transData.transform(middle)
    up = up / np.hypot(*up) * page.zoom  # one point
    tip = (0.94, 0.89)
    axes.annotate(
        "", tip, up * -18, xycoords="axes fraction", textcoords="offset points",
        arrowprops=dict(arrowstyle="simple,head_width=0.6,head_length=0.7,tail_width=0.12", facecolor="black", edgecolor="white"),
    )  # fmt: skip
    axes.annotate(
        page.say("N"), tip, up * 6, xycoords="axes fraction", textcoords="offset points", size=8 * page.zoom, weight="bold",
        ha="center", va="center", bbox=dict(boxstyle="circle,pad=0.12", facecolor="white", edgecolor="none", alpha=0.8),
    )  # fmt: skip


def _column(
    page: _Page, damage_map: DamageMapContent, post: Layer, position: tuple[float, float, float], scale: float
) -> None:
    """Legend and counts, areas, sources, and the place on the globe. position : top, width and height, millimetres."""
    top, width, height = position
    left, bottom = EDGE + WIDTH - width, top + height
    globe = GLOBE if is_placed(post.grid) else 0.0
    legend = page.panel(left, top, width, height - globe, "Legend and counts")
    _legend(legend, damage_map)
    top += legend.y + 4
    if damage_map.areas is not None:
        room = (bottom - top - globe) * 0.55
        _areas(page.panel(left, top, width, room - 2, "By area"), damage_map.areas)
        top += room
    last = page.panel(left, top, width, bottom - globe - top, "Sources")
    _sources(last, damage_map, post, scale)
    _notes(last, damage_map.findings)
    if globe:
        _locator(page.axes(left + (width - globe) / 2, bottom - globe, globe, globe), post.grid)


def _legend(panel: _Panel, damage_map: DamageMapContent) -> None:
    say, number, counts = panel.page.say, panel.page.number, damage_map.table.counts()
    assessed = int(damage_map.table.assessed.sum())
    palette = hex_colors()
    ends = (0.74 * panel.width, 0.95 * panel.width)
    panel.cells([(ends[0], say("Buildings"), "end"), (ends[1], say("Share"), "end")], 7, bold=True)
    for name in worst_first(damage_map.table.shown_classes):
        count = counts[name]
        share = number(count / assessed, ".1%") if assessed and name != UNGRADED else ""
        panel.cells([(5, say(TITLES[name]), "start"), (ends[0], number(count), "end"), (ends[1], share, "end")], 7)
        panel.swatch(palette[name])
    panel.cells([(5, say("Assessed extent"), "start")], 7)
    panel.swatch(VIOLET, dashed=True)
    if is_together(damage_map):
        panel.write(say("Squares: shares of the classes; larger squares mean more buildings."), 7)
    panel.y += 1.5
    panel.write(count_sentence(damage_map, panel.page.language), 7.5, bold=True)
    if advice := damage_map.advice(panel.page.language):
        panel.write(advice, 7)


def _areas(panel: _Panel, areas: Any) -> None:
    """Write the areas with most damage, as many as there is room for."""
    say, number, people = panel.page.say, panel.page.number, "people" in areas
    damaged, interval, share, exposed = (edge * panel.width for edge in AREA_COLUMNS)
    head = [
        (0.0, say("Area"), "start"),
        (damaged, _shortened(say("Damaged"), 6, 0.2 * panel.width), "end"),
        (interval, _shortened(say("95 % interval"), 6, 0.2 * panel.width), "end"),
        (share, _shortened(say("Share"), 6, 0.14 * panel.width), "end"),
        *([(exposed, _shortened(say("Exposed people"), 6, 0.18 * panel.width), "end")] if people else []),
    ]
    panel.cells(head, 6, bold=True)
    rows = areas.sort_values("damaged", ascending=False, kind="stable")
    room = int((panel.height - panel.y) / (6 * LINE_MM)) - 1
    for row in rows.head(room).to_dict("records"):
        name = say(OUTSIDE) if row["area"] == OUTSIDE else row["area"]
        cells = [
            (0.0, _shortened(name, 6, 0.27 * panel.width), "start"), (damaged, number(row["damaged"]), "end"),
            (interval, f"{number(row['damaged_low'])}–{number(row['damaged_high'])}", "end"),
            (share, "" if math.isnan(row["share"]) else number(row["share"], ".0%"), "end"),
        ]  # fmt: skip
        if people and not math.isnan(row["people_exposed"]):
            cells.append((exposed, number(row["people_exposed"]), "end"))
        panel.cells(cells, 6)
    if len(rows) > room:
        panel.cells([(0.0, f"+ {number(len(rows) - room)} {say('more areas in')} {AREAS_FILE}", "start")], 6)


def _sources(panel: _Panel, damage_map: DamageMapContent, post: Layer, scale: float) -> None:
    say = panel.page.say
    facts = [(say(label), value) for label, value in damage_map.event.facts if label not in ("Event", "Place")]
    named = {"pre": "Image before", "post": "Image after", "footprints": "Outlines of buildings"}
    for role, label in named.items():
        if role in damage_map.inputs:
            facts.append((say(label), file_name_of(damage_map.inputs[role])))
    crs = post.grid.crs
    facts.append((say("Coordinates"), "px" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs.proj.name)))
    if crs is not None:
        facts.append((say("Scale"), f"1:{panel.page.number(float(f'{scale:.3g}'))} ({panel.page.paper.upper()})"))
    facts.append((say("Made with"), f"deepnets4eo {__version__}"))
    for label, value in facts:
        panel.fact(label, value, 7)


def _notes(panel: _Panel, findings: Sequence[Finding]) -> None:
    """Write the findings that are notes, with their remedies, as many as fit completely."""
    panel.y += 4
    for finding in findings:
        remedy = finding.text(".remedy", panel.page.language)
        words = (f"{_in_words(panel.page, finding)} {remedy}", NOTE_PT, "black")
        if finding.severity == "note" and panel.y + _height_mm([words], panel.width) <= panel.height:
            panel.write(*words[:2])
            panel.y += SKIP_MM


def _locator(axes: Axes, grid: Grid) -> None:
    """Half of the globe around the site."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Circle

    middle = grid.affine * (grid.shape[1] / 2, grid.shape[0] / 2)
    lon, lat = transformer(grid.crs, 4326).transform(*middle)
    rings = [_on_globe(np.array(ring), lon, lat) for ring in read_json(ASSETS / "land.json")]
    axes.add_patch(Circle((0, 0), 1, facecolor="#dfeaf2", edgecolor="0.5", linewidth=0.5))
    axes.add_collection(
        PolyCollection([ring for ring in rings if len(ring) > 2], facecolors="#b9b9a8", edgecolors="none")
    )
    for degrees in range(-180, 180, 30):
        for line in (
            np.column_stack([np.full(91, degrees), np.linspace(-90, 90, 91)]),
            np.column_stack([np.linspace(-180, 180, 181), np.full(181, degrees / 2)]),
        ):
            xy, front = _orthographic(line, lon, lat)
            xy[~front] = np.nan
            axes.plot(*xy.T, color="white", linewidth=0.3)
    axes.plot(0, 0, marker="s", color="#d00000", markersize=4)
    axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
    axes.axis("off")


def _orthographic(lonlat: NDArray[Any], lon: float, lat: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return (N, 2) positions on the disc of a globe seen from above, and which are in front."""
    east, north = np.radians(lonlat[:, 0] - lon), np.radians(lonlat[:, 1])
    middle = math.radians(lat)
    x = np.cos(north) * np.sin(east)
    y = math.cos(middle) * np.sin(north) - math.sin(middle) * np.cos(north) * np.cos(east)
    front = math.sin(middle) * np.sin(north) + math.cos(middle) * np.cos(north) * np.cos(east) > 0
    return np.column_stack([x, y]), front


def _on_globe(ring: NDArray[Any], lon: float, lat: float) -> NDArray[Any]:
    """Return a ring on the disc; points behind the globe are moved to its edge; empty if all points are behind."""
    xy, front = _orthographic(ring, lon, lat)
    if not front.any():
        return np.zeros((0, 2))
    radius = np.hypot(*xy.T)
    xy[~front] /= np.maximum(radius[~front], 1e-6)[:, None]
    return xy
