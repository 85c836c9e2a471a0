"""The page as one file that works offline: shared scripts and styles, its kind's scripts and styles, images and objects.

All text is escaped, and files are named without folders. Shapes are one-byte steps in half pixels, packed with gzip.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.files import write_text
from deepnets4eo.grid import Grid, apply_affine, gsd_m
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import Finding, findings_banner
from deepnets4eo.outputs.headline import Headline
from deepnets4eo.outputs.map_page.panels import Overlay, Panel, PanelTile, render, render_overlay
from deepnets4eo.outputs.provenance import product_time
from deepnets4eo.outputs.safe_text import COLOURS, asset_text, fill_template, script_safe
from deepnets4eo.outputs.wording import Language
from deepnets4eo.polygons import centres
from deepnets4eo.rasters import Layer, is_placed
from deepnets4eo.version import __version__
from deepnets4eo.zonal import CHUNK, chunks, patch_centres

ASSETS = "deepnets4eo.outputs.map_page"
SCRIPTS = (
    *(
        "data.js",
        "view.js",
        "squares.js",
        "outlines.js",
        "room.js",
        "panels.js",
        "swipe.js",
        "list.js",
        "layers.js",
        "card.js",
        "strip.js",
    ),
    *("antimeridian.js", "save.js", "parts.js", "sheet.js"),
)
LAST_SCRIPT = "main.js"  # starts the page
STYLES = ("report.css", "print.css")
PAGE_BYTES = 10_500_000  # of packed content; base64 makes 14 MB of it
MIN_IMAGE_BYTES = 3_000_000
UNNAMED = "unknown"  # PROJ's name of a CRS without one
FIT_POINTS = 6  # along each side of the image, for longitude and latitude

UNITS_PER_PX = 2
LONGEST_STEP = 127  # one signed byte; longer edges get points in between
MARGIN_PX = 4096  # around the image; what of an outline larger than that lies farther out is not drawn
FARTHEST_PX = 2**29  # half pixels and their differences still fit in 32 bits
MAX_SINGLE = 3000  # objects that are drawn one by one; of more a view shows squares
SQUARES = 64  # along the longer side of the objects, at most
MISSING = 65_535  # of shares
SHARE_STEPS = 10_000


@dataclass(frozen=True)
class MapKind:
    """Additions of a kind of map to the page: titles, nouns, the meaning of no objects, `assets` of a package, HTML next to the search.

    The scripts define `STYLES`, `DRAWN`, `LIST`, `STORED`, `COLUMNS`, `decode`, `isWanted`, `cardParts`, `headline`, `chipOf`,
    `summaryBoxes`, `legendParts` and `sheetNotes` for the shared scripts.
    """

    title: str
    subject: str
    one: str
    many: str
    file: str
    made_up: str
    empty: str
    package: str
    scripts: Sequence[str]
    styles: Sequence[str]
    choice: str = ""
    summary: str = "summary.json"

    def words(self) -> dict[str, str]:
        """Return the words that the scripts use for things."""
        return {"one": self.one, "many": self.many, "file": self.file, "empty": self.empty, "summary": self.summary}

    @property
    def style(self) -> str:
        """Return the styles of the page: colours of all pages, styles of maps, styles of the kind."""
        shared = asset_text("deepnets4eo.outputs", COLOURS), *(asset_text(ASSETS, name) for name in STYLES)
        return "\n".join([*shared, *(asset_text(self.package, name) for name in self.styles)])

    @property
    def script(self) -> str:
        """Return the scripts of the page: scripts of maps, scripts of the kind, and the one that starts the page."""
        shared = [asset_text(ASSETS, name) for name in SCRIPTS]
        own = [asset_text(self.package, name) for name in self.scripts]
        return "\n".join([*shared, *own, asset_text(ASSETS, LAST_SCRIPT)])


@dataclass(frozen=True)
class PageLanguage:
    """The language of a page: code, words from English, direction, and a remark where findings stay English."""

    code: Language = "en"
    words: Mapping[str, str] = field(default_factory=dict)
    right_to_left: bool = False
    in_english: str = ""

    def say(self, text: str) -> str:
        """Return the text in the language."""
        return self.words.get(text, text)

    def fill(self, template: str, kind: MapKind) -> str:
        """Return HTML with `%%=English%%` replaced by its text in the language, and {many} in it by the plural of the objects."""
        return re.sub("%%=(.*?)%%", lambda match: escape(self.say(match[1].format(**kind.words()))), template)


def write_map_page(
    path: str | Path,
    kind: MapKind,
    content: dict[str, Any],
    payload: Payload,
    images: dict[str, Layer],
    grid: Grid,
    attention: tuple[NDArray[Any], NDArray[np.float64]],
    overlays: Iterable[Overlay] = (),
    *,
    headline: Headline,
    event: EventInfo,
    findings: Sequence[Finding],
    inputs: dict[str, str],
    language: PageLanguage = PageLanguage(),
) -> Path:
    """Write the page as HTML. Memory: one averaged image at a time, 2560² at most.

    content, payload : facts for its scripts, and the objects
    images : role → image on the grid of the page; without any, the objects are on plain ground
    attention : shapes (N,) and weights (N,) that decide where images are shown in detail
    overlays : rasters that a reader may lay over the images
    headline : the result in the first lines
    inputs : role → file
    """
    positions = patch_centres(attention[0], grid), attention[1]
    budget = max(PAGE_BYTES - payload.size_bytes, MIN_IMAGE_BYTES)
    panels = render(images, positions, budget) if images else [Panel("plain", "array", 1.0, [])]
    over = [part for overlay in overlays for part in render_overlay(overlay)]
    state = product_time(inputs)
    page = {
        "state": None if state is None else state.strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "words": kind.words(),
        "language": language.code,
        "translations": dict(language.words),
        "inputs": {role: file_name_of(source) for role, source in inputs.items()},
        "headline": headline.to_dict(),
        "heading": event.title(language.say(kind.subject)),
        "event": event.to_dict(),
        "event_facts": event.facts,
        "event_columns": event.columns_of_rows(synthetic=content["summary"]["synthetic"]),
        "frame": frame_of(grid),
        "directory": payload.directory,
        "objects": payload.described,
        **content,
    }
    title = language.say(kind.title)
    if content["summary"]["synthetic"]:
        title = f"SYNTHETIC {title[0].lower()}{title[1:]}"
    banner = findings_banner(findings, language.say, language.code, stated=headline.stated)
    is_worthless = any(finding.severity == "worthless" for finding in findings)  # else the headline comes first
    parts = {
        "LANGUAGE": language.code, "DIRECTION": "rtl" if language.right_to_left else "ltr", "TITLE": escape(title),
        "MADE_UP": escape(language.say(kind.made_up)), "TAB": escape(language.say(kind.many.capitalize())),
        "FILTER": language.fill(kind.choice, kind), "IN_ENGLISH": language.in_english and f'<p class="event">{escape(language.in_english)}</p>',
        "STYLE": kind.style,
        "WORTHLESS": banner if is_worthless else "", "FINDINGS": "" if is_worthless else banner,
        "PAGE": script_safe(page),
        "PANELS": script_safe([_tiles(panel) for panel in panels]),
        "SCORES": script_safe([_tiles(panel) | swatch._asdict() for swatch, panel in over]),
        "PACKED": payload.packed,
        "SCRIPT": kind.script,
    }  # fmt: skip
    return write_text(path, fill_template(language.fill(asset_text(ASSETS, "report.html"), kind), parts))


def frame_of(grid: Grid) -> dict[str, Any]:
    """Return size, ground size, north, and a quadratic fit over pixels of latitude and of longitude, which continues beyond 180."""
    height, width = grid.shape
    row_m, col_m = gsd_m(grid)
    frame: dict[str, Any] = {"width": width, "height": height, "gsd": [row_m, col_m], "crs": None, "lonlat": None}
    if grid.crs is None:
        return {**frame, "north": None}
    if not is_placed(grid):  # a plane of its own has no north
        return {**frame, "north": None, "crs": crs_name(grid)}
    back = ~grid.affine
    north = math.degrees(math.atan2(back.b * col_m, -back.e * row_m))
    sides = (np.linspace(0, side, FIT_POINTS) for side in (width, height))
    cols, rows = (axis.ravel() for axis in np.meshgrid(*sides))
    try:
        to_lonlat = pyproj.Transformer.from_crs(grid.crs.proj, 4326, always_xy=True)
    except pyproj.exceptions.ProjError:  # of another celestial body
        return {**frame, "north": north, "crs": crs_name(grid)}
    lon, lat = to_lonlat.transform(*apply_affine(grid.affine, np.column_stack([cols, rows])).T)
    for axis in (1, 0):  # without the jump at the 180th meridian
        lon = np.unwrap(lon.reshape(FIT_POINTS, FIT_POINTS), axis=axis, period=360.0).ravel()
    u, v = cols / width, rows / height
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    fit, *_ = np.linalg.lstsq(terms, np.stack([lon, lat], axis=1), rcond=None)
    return {**frame, "north": north, "crs": crs_name(grid), "lonlat": fit.T.tolist()}


def crs_name(grid: Grid) -> str:
    """Return the EPSG code of the CRS of a grid, else its name, and its definition, of many lines, only if it has none."""
    assert grid.crs is not None
    name = str(grid.crs.proj.name)
    return f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else str(grid.crs) if name == UNNAMED else name


def rings_in_pixels(shapes: NDArray[Any], grid: Grid) -> list[list[list[float]]]:
    """Return rings in pixels of the grid, thinned to half a pixel."""
    back = ~grid.affine
    rings = []
    for ring in shapely.get_rings(shapely.get_parts(shapes)):
        points = apply_affine(back, shapely.get_coordinates(ring))
        thin = shapely.simplify(shapely.LineString(points), 0.5)
        rings.append(np.round(shapely.get_coordinates(thin), 1).tolist())
    return rings


def _tiles(panel: Panel) -> dict[str, Any]:
    return {
        "role": panel.role,
        "source": "" if panel.source == "array" else file_name_of(panel.source),
        "coarse": panel.coarse,
        "preview": None if panel.preview is None else _tile(panel.preview),
        "tiles": [_tile(tile) for tile in panel.tiles] + [[*_tile(tile), 1] for tile in panel.details],
    }


def _tile(tile: PanelTile) -> list[float | str]:
    rectangle = (round(value, 2) for value in (tile.col, tile.row, tile.width, tile.height))
    return [*rectangle, base64.b64encode(tile.webp).decode()]


@dataclass(frozen=True)
class Payload:
    """The binary columns (base64 of gzip) with their directory, and what describes them."""

    directory: list[tuple[str, str, int]]  # name, dtype, length; in the order of the bytes
    packed: str
    described: dict[str, Any]

    @classmethod
    def of_objects(
        cls,
        ids: Iterable[str],
        shapes: NDArray[Any],
        grid: Grid,
        columns: Mapping[str, NDArray[Any]],
        described: Mapping[str, Any],
    ) -> Payload:
        """Pack outlines and columns (`class`, a number, and others) of all objects, in the order of the page's list."""
        names = [str(name) for name in ids]
        whole = {**outlines(shapes, grid), **middles(shapes, grid), **columns}
        box = objects_box(shapes, grid)
        squares = (
            None
            if box is None or len(names) <= MAX_SINGLE
            else class_squares(box, whole["cx"], whole["cy"], whole["class"])
        )
        directory = [(name, str(column.dtype), len(column)) for name, column in whole.items()]
        raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in whole.values())
        packed_ids = pack(json.dumps(names, separators=(",", ":")).encode())
        return cls(
            directory, pack(raw), {
            "ids": packed_ids, "count": len(names), "unitsPerPx": UNITS_PER_PX, "box": box, "squares": squares,
            "mostSingle": MAX_SINGLE, **described,
        })  # fmt: skip

    @property
    def size_bytes(self) -> int:
        """Bytes of the columns and ids, before base64."""
        return (len(self.packed) + len(self.described["ids"])) * 3 // 4


def objects_box(shapes: NDArray[Any], grid: Grid) -> list[float] | None:
    """Return left, top, right and bottom of the shapes that the image shows, in its pixels; None if it shows no shape."""
    bounds = shapely.bounds(shapes)
    corners = apply_affine(~grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
    low, high, size = corners.min(axis=1), corners.max(axis=1), grid.shape[::-1]
    seen = (low < size).all(axis=1) & (high > 0).all(axis=1)
    if not seen.any():
        return None
    return [*np.maximum(low[seen].min(axis=0), 0).tolist(), *np.minimum(high[seen].max(axis=0), size).tolist()]


def class_squares(box: list[float], cx: NDArray[Any], cy: NDArray[Any], classes: NDArray[Any]) -> dict[str, Any]:
    """Count the objects of each class in squares of a power of two of pixels, shown by the page before it unpacks objects."""
    left, top, right, bottom = box
    side = 2 ** math.ceil(math.log2(max(right - left, bottom - top, 1) / SQUARES))
    first = np.floor_divide([left, top], side).astype(int)
    columns, rows = np.floor_divide([right, bottom], side).astype(int) - first + 1
    known = np.isfinite(cx) & np.isfinite(cy)
    col, row = (np.floor_divide(values[known], side).astype(int) for values in (cx, cy))
    inside = (col >= first[0]) & (col < first[0] + columns) & (row >= first[1]) & (row < first[1] + rows)
    many = int(classes.max()) + 1
    cell = ((row - first[1]) * columns + col - first[0])[inside] * many + classes[known][inside]
    counts = np.bincount(cell, minlength=columns * rows * many)
    corner = {"side": side, "left": int(first[0]), "top": int(first[1]), "columns": int(columns)}
    return corner | {"many": many, "counts": counts.tolist()}


def pack(raw: bytes) -> str:
    """Return Base64 of gzip, with the same bytes every time."""
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def share_codes(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Convert shares of 0 to 1 to ten thousandths; NaN becomes 65,535."""
    codes = np.rint(np.clip(values, 0, 1) * SHARE_STEPS)
    return np.where(np.isnan(values), MISSING, codes).astype(np.uint16)


def outlines(shapes: NDArray[Any], grid: Grid, chunk: int = CHUNK) -> dict[str, NDArray[Any]]:
    """Pack the rings of all shapes in half pixels, cut to the image: `rings` per shape, `sizes`, `x0`, `y0` per ring, steps int8."""
    shapes = _drawable(shapes, grid)
    pieces = [_steps(shapes[rows], grid) for rows in chunks(len(shapes), chunk)]
    rings, sizes, origin, rest = (np.concatenate(column) for column in zip(*pieces, strict=True))
    kind = np.uint16 if len(origin) and origin.min() >= 0 and origin.max() < 2**16 else np.int32
    return {
        "rings": rings,
        "sizes": sizes,
        "x0": origin[:, 0].astype(kind),
        "y0": origin[:, 1].astype(kind),
        "dx": rest[:, 0],
        "dy": rest[:, 1],
    }


def middles(shapes: NDArray[Any], grid: Grid) -> dict[str, NDArray[np.float32]]:
    """Return centroids in pixels of the grid: `cx`, `cy`, whose positions other products have too; NaN for missing shapes."""
    cx, cy = apply_affine(~grid.affine, centres(shapes)).astype(np.float32).T
    return {"cx": cx, "cy": cy}


def _steps(shapes: NDArray[Any], grid: Grid) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rings per shape, points per ring, the rings' first points (R, 2), and the steps (P, 2) to all others."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    points = np.rint(apply_affine(~grid.affine, xy) * UNITS_PER_PX).astype(np.int32)
    last = np.append(ring[1:] != ring[:-1], True) if len(ring) else np.zeros(0, bool)
    points, ring = points[~last], ring[~last]
    first = np.append(True, ring[1:] != ring[:-1]) if len(ring) else np.zeros(0, bool)
    steps = np.diff(points, axis=0, prepend=points[:1])
    steps[first] = 0
    pieces = np.maximum(-(-np.abs(steps).max(axis=1, initial=0) // LONGEST_STEP), 1)
    index = np.repeat(np.arange(len(points)), pieces)
    nth = np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 1
    until, before = (np.rint(steps[index] * (n / pieces[index])[:, None]).astype(np.int32) for n in (nth, nth - 1))
    cut = until - before
    origin, rest = points[first], cut[~first[index]]
    return (
        np.bincount(shape_of_part[part_of_ring], minlength=len(shapes)).astype(np.uint16),
        np.bincount(ring[index], minlength=len(rings)).astype(np.uint32),
        origin,
        rest.astype(np.int8),
    )


def _drawable(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Return the shapes; those larger than the image or beyond the range of numbers are clipped to the image's surroundings."""
    height, width = (side + 2 * MARGIN_PX for side in grid.shape)
    bounds = shapely.bounds(shapes)
    corners = apply_affine(~grid.affine, bounds[:, [[0, 1], [2, 1], [0, 3], [2, 3]]])
    wild = (np.ptp(corners, axis=1) > (width, height)).any(axis=1)
    wild |= np.abs(corners).max(axis=(1, 2)) > FARTHEST_PX
    if not wild.any():
        return shapes
    around = shapely.get_coordinates(shapely.box(-MARGIN_PX, -MARGIN_PX, width - MARGIN_PX, height - MARGIN_PX))
    ground = apply_affine(grid.affine, around)
    shapes = shapes.copy()
    shapes[wild] = shapely.clip_by_rect(shapes[wild], *ground.min(axis=0), *ground.max(axis=0))
    return shapes
