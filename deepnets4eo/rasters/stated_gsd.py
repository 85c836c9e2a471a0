"""The one rule for rasters without a CRS: lengths and areas are in pixels, unless their size in metres is stated (`--gsd`).

A stated size puts the raster on a plane in metres, without a place on the Earth, so that everything measured on it is in metres.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError
from deepnets4eo.formats.flat_crs import PLAIN_METRES
from deepnets4eo.grid import Grid

if TYPE_CHECKING:
    from deepnets4eo.rasters.layer import Layer

SQUARE_METRES = 10_000  # of a hectare


def with_gsd(layer: Layer, gsd_m: float | None) -> Layer:
    """A raster without CRS on a plane in metres, whose pixels have this size; None leaves it in pixels.

    Errors: InputError for a raster whose CRS says how large its pixels are.
    """
    if gsd_m is None:
        return layer
    grid = layer.grid
    if is_placed(grid):
        raise InputError(
            f"a pixel of {gsd_m:g} m was stated (--gsd), but {layer.source} has a CRS, which says how large its pixels are. Leave it out."
        )
    factor = gsd_m / math.sqrt(abs(grid.affine.determinant))  # a world file's positions keep their proportions
    return layer.with_grid(GeoBox(grid.shape, Affine.scale(factor) * grid.affine, PLAIN_METRES))


def is_placed(grid: Grid) -> bool:
    """Whether a grid has a place on the Earth: neither plain pixels nor a plane of its own."""
    return grid.crs is not None and not grid.crs.proj.is_engineering


def length_unit(grid: Grid) -> str:
    """Return the unit of lengths on a grid: "m", or "px" without a CRS."""
    return "px" if grid.crs is None else "m"


def areas_in_pixels(figures: Any) -> Any:
    """Figures for JSON measured without a CRS, where a pixel counted as 1 m²: those in hectares and m² are pixels, and called so.

    >>> areas_in_pixels({"changed_ha": 1.5, "least_m2": 4, "share": 0.1})
    {'changed_px': 15000.0, 'least_px': 4, 'share': 0.1}
    """
    if not isinstance(figures, dict):
        return figures
    renamed: dict[str, Any] = {}
    for name, value in figures.items():
        if "_ha" in name:
            renamed[name.replace("_ha", "_px")] = _times(value, SQUARE_METRES)
        else:
            renamed[name.removesuffix("_m2") + "_px" if name.endswith("_m2") else name] = areas_in_pixels(value)
    return renamed


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {name: _times(one, factor) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_times(one, factor) for one in value]
    return value if value is None else value * factor
