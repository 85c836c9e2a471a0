"""The page as one file that works offline: shared scripts and styles, those of the kind of map, images and objects.

Takes what `panels` and `payload` made; returns or writes HTML. All text in it is escaped, and files are named without folders.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepnets4eo.files import write_text
from deepnets4eo.formats.access import is_remote
from deepnets4eo.grid import Grid, apply_affine, gsd_m
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.html import fill_template, script_safe
from deepnets4eo.outputs.map_page.panels import Panel, Tile
from deepnets4eo.outputs.map_page.payload import Payload
from deepnets4eo.version import __version__

ASSETS = "deepnets4eo.outputs.map_page"
SCRIPTS = (
    *("data.js", "view.js", "outlines.js", "panels.js", "swipe.js", "list.js", "card.js"),
    *("antimeridian.js", "save.js", "parts.js", "sheet.js"),
)
LAST_SCRIPT = "main.js"  # starts the page
STYLES = ("report.css", "print.css")
PAGE_BYTES = 10_500_000  # of packed content; base64 makes 14 MB of it
LEAST_IMAGE_BYTES = 3_000_000
FIT_POINTS = 6  # along each side of the image, for longitude and latitude


@dataclass(frozen=True)
class MapKind:
    """What a kind of map adds to the page.

    Parameters
    ----------
    title
        The title of the window and the page without JavaScript.
    subject
        What is mapped, for titles that name the event.
    one, many, file
        An object, objects, and the stem of the map's files.
    made_up
        Said of SYNTHETIC maps.
    package
        Whose folder `assets` holds the scripts and styles.
    scripts, styles
        Names of its files, in the order in which they are read, after the shared ones.
    choice
        HTML beside the search, "" for none.

    Notes
    -----
    Its scripts define, for the shared ones: `STYLES` (a class), `DRAWN` (order of the classes), `LIST` and `STORED` (columns of the
    list, and the one by which objects are stored), `COLUMNS` (of saved files), `decode`, `isWanted`, `cardParts`, `headline`,
    `chipOf`, `summaryBoxes`, `legendParts` and `sheetNotes`.
    """

    title: str
    subject: str
    one: str
    many: str
    file: str
    made_up: str
    package: str
    scripts: Sequence[str]
    styles: Sequence[str]
    choice: str = ""

    def words(self) -> dict[str, str]:
        """What the scripts call things."""
        return {"one": self.one, "many": self.many, "file": self.file}


def write_map_page(
    path: str | Path,
    kind: MapKind,
    content: dict[str, Any],
    payload: Payload,
    panels: Sequence[Panel],
    over: Sequence[Panel],
    *,
    event: EventInfo,
    banner: str,
    grid: Grid,
    inputs: dict[str, str],
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        The HTML file.
    kind
        What is mapped.
    content
        For the scripts: summary (with synthetic, findings and registration), classes, caveats, extent, without_outlines, and
        what those of the kind read.
    payload
        The objects.
    panels, over
        Images, and rasters that can be laid over them.
    event
        What the map is of.
    banner
        HTML of the findings.
    grid
        The grid of the post image.
    inputs
        Role → file or address.
    """
    page = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "words": kind.words(),
        "inputs": {role: file_name(source) for role, source in inputs.items()},
        "heading": event.title(kind.subject),
        "event": event.to_dict(),
        "event_facts": event.facts,
        "event_columns": event.columns_of_rows(synthetic=content["summary"]["synthetic"]),
        "frame": frame_of(grid),
        "directory": payload.directory,
        "objects": payload.described,
        **content,
    }
    title = f"SYNTHETIC {kind.title[0].lower()}{kind.title[1:]}" if content["summary"]["synthetic"] else kind.title
    parts = {
        "TITLE": escape(title), "MADE_UP": kind.made_up, "ONE": kind.one, "MANY": kind.many,
        "TAB": kind.many.capitalize(), "FILE": kind.file, "FILTER": kind.choice,
        "STYLE": "\n".join([*(_asset(ASSETS, name) for name in STYLES), *(_asset(kind.package, name) for name in kind.styles)]),
        "FINDINGS": banner,
        "PAGE": script_safe(page),
        "PANELS": script_safe([_tiles(panel) for panel in panels]),
        "SCORES": script_safe([_tiles(panel) for panel in over]),
        "PACKED": payload.packed,
        "SCRIPT": "\n".join(
            [
                *(_asset(ASSETS, name) for name in SCRIPTS), *(_asset(kind.package, name) for name in kind.scripts),
                _asset(ASSETS, LAST_SCRIPT),
            ]
        ),
    }  # fmt: skip
    return write_text(path, fill_template(_asset(ASSETS, "report.html"), parts))


def image_budget(payload: Payload) -> int:
    """Bytes that the objects leave for the images."""
    return max(PAGE_BYTES - payload.size_bytes, LEAST_IMAGE_BYTES)


def frame_of(grid: Grid) -> dict[str, Any]:
    """Size, ground size, north and a quadratic fit of longitude and latitude over the image's pixels.

    Longitudes run on past 180 where the image does; the page turns them back.
    """
    height, width = grid.shape
    row_m, col_m = gsd_m(grid)
    frame: dict[str, Any] = {"width": width, "height": height, "gsd": [row_m, col_m], "crs": None, "lonlat": None}
    if grid.crs is None:
        return {**frame, "north": None}
    back = ~grid.affine
    north = math.degrees(math.atan2(back.b * col_m, -back.e * row_m))
    sides = (np.linspace(0, side, FIT_POINTS) for side in (width, height))
    cols, rows = (axis.ravel() for axis in np.meshgrid(*sides))
    try:
        to_lonlat = pyproj.Transformer.from_crs(grid.crs.proj, 4326, always_xy=True)
    except pyproj.exceptions.ProjError:  # a local engineering CRS without a position on the earth
        return {**frame, "north": north, "crs": str(grid.crs)}
    lon, lat = to_lonlat.transform(*apply_affine(grid.affine, np.column_stack([cols, rows])).T)
    for axis in (1, 0):  # without the jump at the 180th meridian
        lon = np.unwrap(lon.reshape(FIT_POINTS, FIT_POINTS), axis=axis, period=360.0).ravel()
    u, v = cols / width, rows / height
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    fit, *_ = np.linalg.lstsq(terms, np.stack([lon, lat], axis=1), rcond=None)
    return {**frame, "north": north, "crs": str(grid.crs), "lonlat": fit.T.tolist()}


def rings_in_pixels(shapes: NDArray[Any], grid: Grid) -> list[list[list[float]]]:
    """Rings in pixels of the grid, thinned to half a pixel."""
    back = ~grid.affine
    rings = []
    for ring in shapely.get_rings(shapely.get_parts(shapes)):
        points = apply_affine(back, shapely.get_coordinates(ring))
        thin = shapely.simplify(shapely.LineString(points), 0.5)
        rings.append(np.round(shapely.get_coordinates(thin), 1).tolist())
    return rings


def file_name(source: str) -> str:
    """The name alone: the page is passed on, and must not show folders, hosts or passwords of web addresses."""
    path = urlsplit(source).path if is_remote(source) else source
    return PurePath(path).name or source


def _tiles(panel: Panel) -> dict[str, Any]:
    return {
        "role": panel.role,
        "source": "" if panel.source == "array" else file_name(panel.source),
        "coarse": panel.coarse,
        "tiles": [_tile(tile) for tile in panel.tiles] + [[*_tile(tile), 1] for tile in panel.details],
    }


def _tile(tile: Tile) -> list[float | str]:
    rectangle = (round(value, 2) for value in (tile.col, tile.row, tile.width, tile.height))
    return [*rectangle, base64.b64encode(tile.webp).decode()]


def _asset(package: str, name: str) -> str:
    return (files(package) / "assets" / name).read_text(encoding="utf-8")
