"""Runs that take images of other ground sizes of a pixel than they learnt: at what size, and by how many views, they label.

Their networks learnt from made-up places at one ground size. Prediction and the damage job prepare images for them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affine import Affine

from deepnets4eo.grid import Grid, gsd_m

WORLD_TASK = "world-cover"  # of the recipes of such runs
# Of every tile, where buildings are labelled: twice the time for IoU 0.618 → 0.631 of outlines (SYNTHETIC). Land cover has one
# view: two did not help on four real tiles (overall accuracy 0.648 → 0.639, 0.513 → 0.501, 0.430 → 0.435, 0.595 → 0.544).
VIEWS = {"buildings": "half-turn"}
FINEST_M, COARSEST_M = 0.2, 1.5  # ground size of a pixel that they take
SAME_SIZE = 1e-3  # a smaller difference of the size of a pixel moves nothing


def takes_any_size(recipe: Mapping[str, Any]) -> bool:
    """Return whether a run of this recipe takes images of other ground sizes, resampled.

    Parameters
    ----------
    recipe
        The recipe of the run.
    """
    return recipe.get("task") == WORLD_TASK


def own_views(recipe: Mapping[str, Any], legend: str) -> str:
    """The views of every tile by which a run of this recipe and name of a legend labels unless others are chosen."""
    return VIEWS.get(legend, "none") if takes_any_size(recipe) else "none"


def working_grid(grid: Grid, working_gsd_m: float) -> Grid:
    """Return the same extent, up to a pixel, with square pixels on the ground; the grid itself where it has these.

    Parameters
    ----------
    grid
        With a CRS.
    working_gsd_m
        Ground size of a pixel, metres.
    """
    row_m, col_m = gsd_m(grid)
    rows, cols = working_gsd_m / row_m, working_gsd_m / col_m
    if max(abs(rows - 1), abs(cols - 1)) < SAME_SIZE:
        return grid
    shape = (max(round(grid.shape[0] / rows), 1), max(round(grid.shape[1] / cols), 1))
    return Grid(shape, grid.affine * Affine.scale(cols, rows), grid.crs)
