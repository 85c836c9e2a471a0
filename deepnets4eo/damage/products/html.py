"""report.html: one page that works offline, with both images, every building and the evidence behind its grade.

Takes a DamageMapContent, its summary and the image layers; writes a single file that loads nothing from the network.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyproj
import shapely

from deepnets4eo.damage.products.banner import findings_banner
from deepnets4eo.damage.products.grades import TITLES, colors
from deepnets4eo.damage.products.panels import Panel, Tile, render, render_scores
from deepnets4eo.damage.products.payload import Payload, encode
from deepnets4eo.damage.vocabulary import ASSESSED, CLASSES
from deepnets4eo.files import write_text
from deepnets4eo.formats.access import is_remote
from deepnets4eo.grid import apply_affine, gsd_m
from deepnets4eo.outputs.html import fill_template, script_safe
from deepnets4eo.registration.view import UNMOVED, on_post_grid
from deepnets4eo.version import __version__
from deepnets4eo.zonal import patch_centres

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.map_content import DamageMapContent
    from deepnets4eo.damage.raster_evidence import ScoreLayer
    from deepnets4eo.grid import Grid
    from deepnets4eo.rasters.scene import Layer

ASSETS = files("deepnets4eo.damage.products") / "assets"
SCRIPTS = (
    *("data.js", "view.js", "outlines.js", "panels.js", "swipe.js", "list.js", "card.js"),
    *("save.js", "summary.js", "sheet.js", "main.js"),
)
STYLES = ("report.css", "print.css")
PAGE_BYTES = 10_500_000  # of packed content; base64 makes 14 MB of it
LEAST_IMAGE_BYTES = 3_000_000


def write_report(
    damage_map: DamageMapContent,
    summary: dict[str, Any],
    path: str | Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    scores: Sequence[ScoreLayer] = (),
) -> Path:
    """Write the page; `summary` is `summarize`'s. scores : rasters that can be laid over the images.

    Size: about 14 MB at most up to 200,000 buildings, of which the images take what the buildings leave.
    Memory: the buildings' columns and one averaged image at a time.
    """
    payload = encode(damage_map, post.grid)
    layers = (
        {} if pre is None else {"pre": on_post_grid(pre, post.grid, damage_map.registration.get("matrix", UNMOVED))}
    )
    layers["post"] = post
    used = (len(payload.packed) + len(payload.described["ids"])) * 3 // 4
    panels = render(layers, _attention(damage_map, post.grid), max(PAGE_BYTES - used, LEAST_IMAGE_BYTES))
    page = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "summary": summary,
        "event": damage_map.event.to_dict(),
        "inputs": {role: _file_name(source) for role, source in damage_map.inputs.items()},
        "grades": _grades(),
        "frame": frame_of(post.grid),
        "extent": _rings(damage_map.assessed_extent.geometry.to_numpy(), post.grid),
        "without_outlines": _rings(_shapes(damage_map.extent_without_outlines), post.grid),
        "directory": payload.directory,
        "buildings": payload.described,
    }
    banner = findings_banner(damage_map.findings)
    over = [render_scores(score.name, score.layer, score.scale) for score in scores]
    return write_text(path, _assemble(page, panels, over, payload, banner, synthetic=damage_map.synthetic))


def frame_of(grid: Grid) -> dict[str, Any]:
    """Size, ground size, north and a quadratic fit of longitude and latitude over the image's pixels."""
    height, width = grid.shape
    row_m, col_m = gsd_m(grid)
    frame: dict[str, Any] = {"width": width, "height": height, "gsd": [row_m, col_m], "crs": None, "lonlat": None}
    if grid.crs is None:
        return {**frame, "north": None}
    back = ~grid.affine
    north = math.degrees(math.atan2(back.b * col_m, -back.e * row_m))
    cols, rows = (axis.ravel() for axis in np.meshgrid(np.linspace(0, width, 6), np.linspace(0, height, 6)))
    try:
        to_lonlat = pyproj.Transformer.from_crs(grid.crs.proj, 4326, always_xy=True)
    except pyproj.exceptions.ProjError:  # a local engineering CRS without a position on the earth
        return {**frame, "north": north, "crs": str(grid.crs)}
    lon, lat = to_lonlat.transform(*apply_affine(grid.affine, np.column_stack([cols, rows])).T)
    u, v = cols / width, rows / height
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    fit, *_ = np.linalg.lstsq(terms, np.stack([lon, lat], axis=1), rcond=None)
    return {**frame, "north": north, "crs": str(grid.crs), "lonlat": fit.T.tolist()}


def _grades() -> list[dict[str, Any]]:
    palette = colors()
    return [{"key": key, "title": TITLES[key], "color": list(palette[key])} for key in CLASSES]


def _attention(damage_map: DamageMapContent, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Positions (col, row) of the assessed buildings and their probability of damage."""
    frame = damage_map.buildings
    frame = frame[frame["status"] == ASSESSED]
    return patch_centres(frame.geometry.to_numpy(), grid), frame["damage_prob"].to_numpy(float)


def _shapes(extent: gpd.GeoDataFrame | None) -> np.ndarray:
    return np.zeros(0, dtype=object) if extent is None else extent.geometry.to_numpy()


def _rings(shapes: np.ndarray, grid: Grid) -> list[list[list[float]]]:
    """Rings in pixels of the grid, thinned to half a pixel."""
    back = ~grid.affine
    rings = []
    for ring in shapely.get_rings(shapely.get_parts(shapes)):
        points = apply_affine(back, shapely.get_coordinates(ring))
        thin = shapely.simplify(shapely.LineString(points), 0.5)
        rings.append(np.round(shapely.get_coordinates(thin), 1).tolist())
    return rings


def _assemble(
    page: dict[str, Any], panels: list[Panel], over: list[Panel], payload: Payload, banner: str, *, synthetic: bool
) -> str:
    parts = {
        "TITLE": "SYNTHETIC damage map" if synthetic else "Building damage map",
        "STYLE": "\n".join(_asset(name) for name in STYLES),
        "FINDINGS": banner,
        "PAGE": script_safe(page),
        "PANELS": script_safe([_tiles(panel) for panel in panels]),
        "SCORES": script_safe([_tiles(panel) for panel in over]),
        "PACKED": payload.packed,
        "SCRIPT": "\n".join(_asset(name) for name in SCRIPTS),
    }
    return fill_template(_asset("report.html"), parts)


def _file_name(source: str) -> str:
    """The name alone: the page is passed on, and must not show folders, hosts or passwords of web addresses."""
    path = urlsplit(source).path if is_remote(source) else source
    return PurePath(path).name or source


def _tiles(panel: Panel) -> dict[str, Any]:
    return {
        "role": panel.role,
        "source": "" if panel.source == "array" else _file_name(panel.source),
        "coarse": panel.coarse,
        "tiles": [_tile(tile) for tile in panel.tiles] + [[*_tile(tile), 1] for tile in panel.details],
    }


def _tile(tile: Tile) -> list[float | str]:
    rectangle = (round(value, 2) for value in (tile.col, tile.row, tile.width, tile.height))
    return [*rectangle, base64.b64encode(tile.webp).decode()]


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
