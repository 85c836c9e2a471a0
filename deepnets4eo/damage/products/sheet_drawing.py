"""Overlays of a map sheet on its images: buildings, the assessed extent, meridians and parallels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import colors, worst_first
from deepnets4eo.grid import Grid, transformer
from deepnets4eo.rasters import is_placed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deepnets4eo.damage.products.content import DamageMapContent

MANY = 5000  # outlines from which on they are drawn as pixels; ten times as many together, as squares
SQUARES = 80  # across the image
SECONDS = (0.5, 1, 3, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18_000, 36_000, 72_000)  # between meridians
VIOLET = "#b068ff"
LINE = 1.1  # points, of an outline


def hex_colors() -> dict[str, str]:
    return {name: "#" + bytes(color).hex() for name, color in colors().items()}


def draw_damage(axes: Axes, damage_map: DamageMapContent, zoom: float) -> None:
    """Draw outlines in the colours of their grades, the worst on top; very many outlines as shares."""
    from matplotlib.collections import LineCollection, PolyCollection

    view = axes.get_xlim(), axes.get_ylim()
    buildings = damage_map.buildings
    grades = Buildings(buildings).classes.to_numpy(str)
    shapes, many = buildings.geometry.to_numpy(), len(buildings) > MANY
    palette = hex_colors()
    classes = worst_first(damage_map.table.shown_classes)
    if is_together(damage_map):
        _draw_squares(axes, shapes, grades, classes)
    for name in () if is_together(damage_map) else reversed(classes):
        own = shapes[grades == name]
        own = own[~shapely.is_empty(own)]
        rings = [shapely.get_coordinates(part.exterior) for part in shapely.get_parts(own)]
        drawn = PolyCollection(
            rings, facecolors="none", edgecolors=palette[name], linewidths=LINE * zoom, rasterized=many
        )
        axes.add_collection(drawn)
    edges = [
        shapely.get_coordinates(ring)
        for ring in shapely.get_rings(shapely.get_parts(damage_map.assessed_extent.geometry.to_numpy()))
    ]
    axes.add_collection(LineCollection(edges, colors=VIOLET, linewidths=0.7, linestyles="--"))
    axes.set(xlim=view[0], ylim=view[1])


def is_together(damage_map: DamageMapContent) -> bool:
    return len(damage_map.buildings) > 10 * MANY


def _draw_squares(axes: Axes, shapes: NDArray[Any], grades: NDArray[np.str_], classes: Sequence[str]) -> None:
    """Squares within squares: each covers the share of its grade and of worse ones; smaller with fewer buildings."""
    from matplotlib.collections import PolyCollection

    (left, right), low, palette = axes.get_xlim(), min(axes.get_ylim()), hex_colors()
    side = (right - left) / SQUARES
    xy = shapely.get_coordinates(shapely.centroid(shapes[~shapely.is_empty(shapes)]))
    cells, cell = np.unique(np.floor((xy - [left, low]) / side).astype(np.int64), axis=0, return_inverse=True)
    total = rest = np.bincount(cell.ravel())
    middle, sizes = (cells + 0.5) * side + [left, low], side * (0.4 + 0.55 * np.sqrt(total / total.max()))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    for name in reversed(classes):
        count = np.bincount(cell.ravel()[(grades == name)[~shapely.is_empty(shapes)]], minlength=len(cells))
        size = sizes * np.sqrt(rest / total) * (count > 0)
        axes.add_collection(
            PolyCollection(
                middle[:, None] + corners * size[:, None, None], facecolors=palette[name], linewidths=0, alpha=0.9, rasterized=True
            )
        )  # fmt: skip
        rest = rest - count


def draw_graticule(axes: Axes, grid: Grid, zoom: float) -> None:
    """Draw meridians and parallels with their degrees at the edges, for a grid on the Earth."""
    if not is_placed(grid):
        return
    there = transformer(grid.crs, 4326)
    back = transformer(4326, grid.crs)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    edge = np.linspace(0, 1, 20)
    x = np.concatenate([left + edge * (right - left)] * 2 + [np.full(20, left), np.full(20, right)])
    y = np.concatenate([np.full(20, low), np.full(20, high)] + [low + edge * (high - low)] * 2)
    lon, lat = there.transform(x, y)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()) or np.ptp(lon) > 180:
        return
    for values, other, meridian in ((lon, lat, True), (lat, lon, False)):
        step = next((seconds for seconds in SECONDS if np.ptp(values) * 3600 / seconds <= 4), 108_000) / 3600
        for value in np.arange(math.ceil(values.min() / step), math.floor(values.max() / step) + 1) * step:
            along = np.linspace(other.min(), other.max(), 40)
            line = (np.full(40, value), along) if meridian else (along, np.full(40, value))
            line_x, line_y = back.transform(*line)
            axes.plot(line_x, line_y, color="white", linewidth=0.3, alpha=0.7, scalex=False, scaley=False)
            inside = (line_x >= left) & (line_x <= right) & (line_y >= low) & (line_y <= high)
            if not inside.any():
                continue
            first = np.flatnonzero(inside)[0]
            if not meridian and min(line_y[first] - low, high - line_y[first]) < (high - low) / 12:
                continue  # its words would stand beside the corner
            words = _degrees(float(value), "EW" if meridian else "NS")
            at = (line_x[first], low) if meridian else (left, line_y[first])
            axes.annotate(
                words, at, (0, -2) if meridian else (-2, 0), textcoords="offset points", size=4.5 * zoom, annotation_clip=False,
                ha="center" if meridian else "right", va="top" if meridian else "center", rotation=0 if meridian else 90,
                rotation_mode="default",
            )  # fmt: skip


def _degrees(value: float, sides: str) -> str:
    """Degrees, minutes and seconds, as many of them as are not zero."""
    seconds = round(abs(value) * 3600, 1)
    degrees, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = (
        f"{degrees:.0f}°"
        + (f"{minutes:02.0f}′" if minutes or rest else "")
        + (f"{rest:04.1f}″".replace(".0″", "″") if rest else "")
    )
    return text + (sides[0] if value > 0 else sides[1] if value < 0 else "")
