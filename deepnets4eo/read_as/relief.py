"""Heights in centimetres or millimetres whose file does not state the unit, by how steeply they rise and fall."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.rasters import SENTINELS, Layer
from deepnets4eo.read_as.assessment import Assessment, Door
from deepnets4eo.read_as.images import sample_windows


@dataclass(frozen=True)
class SteepRules:
    """Rules by which heights are steeper than any ground: their range in squares, divided by the side, at the median of the squares.

    Chosen on 1 December 2026 on 25 models of 0.5 to 2 m of four places (IGN, AHN, Autzen, New York): .04 to .54 in metres, 23 to 54 in
    centimetres with houses or trees, and 4 for bare terrain, which is not refused. Towers of 200 m on half of the squares would have 4
    in metres. Feet have 3.28 times the value of metres, which is no evidence either.
    """

    side_m: float = 50.0  # a house, a tree or a wall and the ground next to it
    min_side_px: int = 4  # coarser models have larger squares
    max_slope: float = 10.0
    min_known: float = 0.5  # share of a square that has heights

    def slope(self, heights: Floats, valid: Mask, gsd_m: float) -> list[float]:
        """Return the range of heights (h, w) in each square, divided by its side; a part at the border does not count."""
        side = max(self.min_side_px, round(self.side_m / gsd_m))
        side = min(side, *heights.shape)
        if side < self.min_side_px:
            return []
        rows, cols = heights.shape[0] // side, heights.shape[1] // side
        known = np.where(valid, heights, np.nan)[: rows * side, : cols * side].astype(np.float64)
        squares = known.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows * cols, side * side)
        squares = squares[np.isfinite(squares).mean(axis=1) >= self.min_known]
        if not len(squares):
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return ((np.nanmax(squares, axis=1) - np.nanmin(squares, axis=1)) / (side * gsd_m)).tolist()


def refuse_steep_heights(layer: Layer, door: Door) -> Assessment:
    """Refuse heights that are so steep that their unit is no metre; without a CRS, nothing is known of slopes."""
    if door.any_unit or layer.grid.crs is None:
        return Assessment(layer)
    rules, gsd_m = SteepRules(), mean_gsd_m(layer.grid)
    slopes = [
        slope
        for data, valid in map(layer.read, sample_windows(layer.shape))
        for slope in rules.slope(data[0], valid & ~np.isin(data[0], SENTINELS), gsd_m)
    ]
    if not slopes or float(np.median(slopes)) <= rules.max_slope:
        return Assessment(layer)
    raise InputError(
        f"{door.name(layer)} rises and falls by {float(np.median(slopes)):.0f} times the distance at the median of squares of {rules.side_m:g} m, as no "
        "city and no mountain does; expected heights in metres. State their unit: gdal_edit.py -units cm FILE (or mm), which is converted."
    )
