"""Masks of water drawn by a person: which of their values is water, and a check that they also mark dry ground.

Takes a raster in the legend `water`, or of 0 and 1 (or 255); for new water also depths. Returns 0 and 1 on the grid of
the map.

Refuses masks whose dry ground has no data, such as masks that declare 0 as nodata: neither the share of water nor
new water could be computed from them. Refuses other numbers, such as classes of land cover.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import Layer, LayerView, check_zero_is_value, metres_of

MASK_VALUES = frozenset({1.0, 255.0})  # of what is true in a mask
STRIP_ROWS = 64  # of a coarse mask, read at a time
MAX_LISTED_VALUES = 6  # values in a message


class WaterMask(LayerView):
    """A layer as 1 in water and 0 elsewhere. waters : values of water; if empty, all values but 0."""

    def __init__(self, layer: Layer, waters: Collection[int]) -> None:
        super().__init__(layer, np.uint8, None)
        self._waters = list(waters)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        return (np.isin(data, self._waters) if self._waters else data != 0).astype(np.uint8), valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the middle pixel of each coarse pixel, since classes have no mean. Memory: a strip of the mask."""
        rows, cols = (
            np.floor((np.arange(n) + 0.5) * side / n).astype(int)
            for n, side in zip(shape, self.grid.shape, strict=True)
        )
        parts = []
        for strip in np.array_split(rows, -(-len(rows) // STRIP_ROWS)):
            data, valid = self.read(Window(int(strip[0]), 0, int(strip[-1] - strip[0] + 1), self.grid.shape[1]), bands)
            parts.append((data[:, strip - strip[0]][:, :, cols], valid[strip - strip[0]][:, cols]))
        return np.concatenate([data for data, _ in parts], axis=1), np.concatenate([valid for _, valid in parts])


def open_water_mask(source: str, grid: Grid, flag: str, names: Collection[str], *, depths: bool = False) -> Layer:
    """Open a mask of water on a grid, 0 and 1.

    flag : name of the mask in messages
    names : classes of its legend that are water, if it has a legend
    depths : whether the raster may also contain depths of water; all depths above 0 are water

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
    _check_values(layer, stored, flag, depths=depths)
    return Layer(WaterMask(layer, ()))


def open_new_water(source: str, grid: Grid) -> Layer:
    """Open the raster of `--water`, a map of new water, on a grid.

    Parameters
    ----------
    source : a raster in a legend with the class `flood`, a mask of 0 and 1 (or 255), or depths of water
    grid : target grid of the raster

    Returns
    -------
    Layer
        (1, H, W) uint8: 1 in new water, 0 elsewhere.

    Raises
    ------
    InputError
        Several bands, dry ground without data, for example because 0 is declared as nodata, or other numbers, such as classes.
    GridError
        It does not overlap the grid.
    """
    return open_water_mask(source, grid, "--water", ("flood",), depths=True)


@dataclass
class _ValuesSeen:
    """Values found in a raster of water: gaps, a 0, fractions, values below 0, and some of the other whole numbers."""

    gaps: bool = False
    zero: bool = False
    fractions: bool = False
    negative: bool = False
    whole: frozenset[float] = frozenset()

    @classmethod
    def of(cls, layer: Layer) -> _ValuesSeen:
        """Read the layer window by window."""
        seen = cls()
        for window in layer.blocks():
            data, valid = layer.read(window)
            seen._add(data[0][valid], covered=bool(valid.all()))
        return seen

    def _add(self, values: NDArray[Any], *, covered: bool) -> None:
        self.gaps, self.zero = self.gaps or not covered, self.zero or bool((values == 0).any())
        wet = values[values != 0]
        self.negative = self.negative or bool((wet < 0).any())
        is_whole = wet == np.rint(wet)
        self.fractions = self.fractions or not is_whole.all()
        if len(self.whole) <= MAX_LISTED_VALUES:
            self.whole |= frozenset(np.unique(wet[is_whole]).astype(float).tolist())

    @property
    def is_mask(self) -> bool:
        """Return whether all values are 0 and one value that means true."""
        return not self.fractions and len(self.whole) <= 1 and self.whole <= MASK_VALUES

    def is_depth(self, unit: str, *, scaled: bool) -> bool:
        """Return whether the values are depths next to dry ground: lengths by their unit, else fractions, which classes are not."""
        is_length = metres_of(unit) is not None if unit else self.fractions or scaled
        return is_length and self.zero and not self.negative

    @property
    def listed(self) -> str:
        """Some of the values, for a message."""
        numbers = [f"{value:g}" for value in sorted(self.whole)[:MAX_LISTED_VALUES]]
        return ", ".join([*numbers, *(["fractions"] if self.fractions else [])])


def _check_values(layer: Layer, stored: Layer, flag: str, *, depths: bool) -> None:
    """Refuse a raster that is neither a mask nor, if allowed, of depths, and one whose dry ground is a gap.

    layer : as it is read; stored : the raster itself, which states unit and scale
    """
    seen = _ValuesSeen.of(layer)
    if seen.gaps and not seen.zero:
        raise InputError(
            f"{flag} {layer.source} has no data wherever it shows no water; expected 0 there. Write it, e.g. with gdal_rasterize -init 0."
        )
    stated = stored.stored_values[0]
    if seen.is_mask or (depths and seen.is_depth(stated.unit, scaled=not stated.plain)):
        return
    or_depths = "" if not depths else ", or depths of water in metres (0 where it is dry)"
    raise InputError(
        f"{flag} {layer.source} holds the values {seen.listed}; expected a mask, 0 where there is no water and 1 (or 255) where there is"
        f'{or_depths}. Make a mask: gdal_calc.py -A FILE --calc="A>=50" of percent of occurrence, --calc="A==80" of ESA WorldCover.'
    )
