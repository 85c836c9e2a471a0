"""Masks of water drawn by a person: which of their values is water, and a check that they also mark dry ground.

Takes a raster in the legend `water`, or of 0 and another value. Returns 0 and 1 on the grid of the map.

Refuses masks in which dry ground has no data, such as masks that declare 0 as nodata. Neither the share of water nor
new water could be computed from them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.rasters import BLOCK_PX, Layer, LayerView, check_zero_is_value

MASK_VALUES = frozenset({1.0, 255.0})  # of what is true in a mask


class WaterMask(LayerView):
    """A layer as 1 where it is water, and 0 elsewhere. waters : values of water; all but 0 where empty."""

    def __init__(self, layer: Layer, waters: Collection[int]) -> None:
        super().__init__(layer, np.uint8, None)
        self._waters = list(waters)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        return (np.isin(data, self._waters) if self._waters else data != 0).astype(np.uint8), valid


def open_water_mask(source: str, grid: Grid, flag: str, names: Collection[str], *, any_value: bool = False) -> Layer:
    """A mask of water on a grid, 0 and 1.

    flag : how messages name it
    names : classes of its legend that are water, where it has one
    any_value : whether each value but 0 is water, such as a depth, and not one value alone

    Errors: InputError, GridError.
    """
    stored = Layer.open(source, labels=True)
    if stored.count != 1:
        raise InputError(
            f"{flag} {stored.source} has {stored.count} bands; expected one, which is 0 where there is no water. Extract one: gdal_translate -b 1."
        )
    stored.covered_share(grid, flag)
    layer, legend = stored.on(grid, "nearest"), stored.legend
    if legend is not None and (known := [legend.value(name) for name in legend.names if name in names]):
        return Layer(WaterMask(layer, known))
    check_zero_is_value(stored, flag, "dry ground in a map of water")
    _check_values(layer, flag, any_value=any_value)
    return Layer(WaterMask(layer, ()))


def open_new_water(source: str, grid: Grid) -> Layer:
    """Open the raster of `--water`, a map of new water, on a grid.

    Parameters
    ----------
    source : `flood` of a legend that has it is new water, else all but 0, such as depths
    grid : where it is read

    Returns
    -------
    Layer
        (1, H, W) uint8: 1 where water is new, 0 elsewhere.

    Raises
    ------
    InputError
        Several bands, or dry ground without data, as where 0 is declared as nodata.
    GridError
        It does not overlap the grid.
    """
    return open_water_mask(source, grid, "--water", ("flood",), any_value=True)


def _check_values(layer: Layer, flag: str, *, any_value: bool) -> None:
    """Refuse a mask without a 0 where it has gaps, and one of several values or of one that means no true."""
    values, gaps = set[float](), False
    for window in blocks(layer.shape, BLOCK_PX):
        data, valid = layer.read(window)
        gaps = gaps or not valid.all()
        values |= set(np.unique(data[0][valid]).tolist())
        if (any_value and 0 in values) or len(values - {0}) > 1:
            break
    wet = values - {0}
    if not any_value and (len(wet) > 1 or not wet <= MASK_VALUES):
        listed = ", ".join(f"{value:g}" for value in sorted(wet)[:6])
        raise InputError(
            f"{flag} {layer.source} holds the values {listed}; expected a mask, 0 where there is no water and 1 (or 255) where there is. "
            'Make one: gdal_calc.py -A FILE --calc="A>=50" of percent of occurrence, --calc="A==80" of ESA WorldCover.'
        )
    if gaps and 0 not in values:
        raise InputError(
            f"{flag} {layer.source} has no data wherever it shows no water; expected 0 there. Write it, e.g. with gdal_rasterize -init 0."
        )
