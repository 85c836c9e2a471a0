"""Runs that take images of other ground sizes of a pixel, or scaled by their own values; works without PyTorch.

Where a first layer would scale each tile, prediction scales the whole scene beforehand (`prediction.tile_reader`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from affine import Affine

from deepnets4eo.grid import Grid, gsd_m

if TYPE_CHECKING:
    from deepnets4eo.segmenters.segmenter import Segmenter


WORLD_TASK = "world-cover"  # of the recipes of such runs
# Of every tile, where buildings are labelled: twice the time for IoU 0.618 → 0.631 of outlines (SYNTHETIC). Land cover has one
# view: two did not help on four real tiles (overall accuracy 0.648 → 0.639, 0.513 → 0.501, 0.430 → 0.435, 0.595 → 0.544).
VIEWS = {"buildings": "half-turn"}
SAME_SIZE = 1e-3  # a smaller difference of the size of a pixel moves nothing


class AnySize:
    """Rules of networks that take images of any pixel size, window by window."""

    finest_m: ClassVar[float] = 0.2  # ground size of a pixel
    coarsest_m: ClassVar[float] = 1.5
    min_spread: ClassVar[float] = 0.05  # of standardised values: a window of one grey value stays grey


def takes_any_size(recipe: Mapping[str, Any]) -> bool:
    """Return whether a run of this recipe takes images of other ground sizes, resampled."""
    return recipe.get("task") == WORLD_TASK


def own_views(recipe: Mapping[str, Any], legend: str) -> str:
    """Return the views of every tile that a run of this recipe and legend name uses unless others are chosen."""
    return VIEWS.get(legend, "none") if takes_any_size(recipe) else "none"


def working_grid(grid: Grid, working_gsd_m: float) -> Grid:
    """Return a grid of the same extent, up to a pixel, with square pixels of `working_gsd_m` metres; unchanged if they fit."""
    row_m, col_m = gsd_m(grid)
    rows, cols = working_gsd_m / row_m, working_gsd_m / col_m
    if max(abs(rows - 1), abs(cols - 1)) < SAME_SIZE:
        return grid
    shape = (max(round(grid.shape[0] / rows), 1), max(round(grid.shape[1] / cols), 1))
    return Grid(shape, grid.affine * Affine.scale(cols, rows), grid.crs)


class WindowScaler(Protocol):
    """A layer that removes each window's mean by band and divides by its spread plus `AnySize.min_spread`; `unscaled_bands` stay."""

    scaled_beforehand: bool
    unscaled_bands: int


def window_scalers(segmenter: Segmenter) -> list[WindowScaler]:
    """Return the layers in a segmenter that scale windows; none if a network lacks them, or if networks scale different bands."""
    members = getattr(segmenter, "members", None)
    if members is not None:
        layers = [window_scalers(member) for member in members]
        kinds = {of_member[0].unscaled_bands if of_member else None for of_member in layers}
        return [layer for of_member in layers for layer in of_member] if len(kinds) == 1 and None not in kinds else []
    return list(getattr(segmenter, "scaling_layers", ()))


@contextmanager
def scaled_beforehand(layers: Sequence[WindowScaler]) -> Iterator[None]:
    """Within the context the layers leave their input as it is."""
    for layer in layers:
        layer.scaled_beforehand = True
    try:
        yield
    finally:
        for layer in layers:
            layer.scaled_beforehand = False
