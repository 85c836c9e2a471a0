"""Checks of the surface models of two dates: two different ones, in one unit.

Both models show the same ground, so that wherever nothing changed, heights in feet are 3.28 times the heights in metres.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, same_grid
from deepnets4eo.read_as.images import are_one, sample_windows

UNITS_M = {
    "feet": (0.3048, "ft"),
    "centimetres": (0.01, "cm"),
    "millimetres": (0.001, "mm"),
}  # with their names in files
SAME_RATIO = 0.03  # of heights: noise of 0.3 m at 10 m
MIN_HEIGHT = 1.0  # in the coarser unit: nearer to 0, the noise of heights decides their ratio
MIN_SHARE = 0.2  # of the pixels that are compared; what was built or fell has any ratio
TIMES_AS_MANY = 4.0  # as pixels of equal heights
MIN_PIXELS = 100


def check_two_surface_models(pre: Layer, post: Layer, names: tuple[str, str]) -> None:
    """Refuse (InputError) one surface model given for both dates, and a pair in two units.

    names : how messages call them"""
    if are_one(pre, post):
        raise InputError(
            f"{names[0]} ({pre.source}) and {names[1]} ({post.source}) are one surface model: no height can have changed between them. Give the "
            "models of two dates, or none."
        )
    if pre.declared.unit and post.declared.unit:
        return
    values = _heights_of_both(pre, post)
    for lower, (low, high) in ((0, values), (1, values[::-1])):
        used = (np.abs(low) >= MIN_HEIGHT) & (np.abs(high) >= MIN_HEIGHT)
        if used.sum() < MIN_PIXELS:
            return
        ratio = high[used] / low[used]
        for unit, (metres, code) in UNITS_M.items():
            share = float(np.mean(np.abs(ratio * metres - 1) <= SAME_RATIO))
            if share < MIN_SHARE or share < TIMES_AS_MANY * float(np.mean(np.abs(ratio - 1) <= SAME_RATIO)):
                continue
            (low_name, low_layer), (high_name, high_layer) = ((names[0], pre), (names[1], post))[:: 1 - 2 * lower]
            raise InputError(
                f"{high_name} ({high_layer.source}) seems to be in {unit}: {share:.0%} of its heights are {1 / metres:.3g} times those of {low_name} "
                f"({low_layer.source}). State the unit of both: gdal_edit.py -units {code} {unit.upper()}.tif, gdal_edit.py -units m METRES.tif."
            )


def _heights_of_both(pre: Layer, post: Layer) -> tuple[Floats, Floats]:
    """Return the heights of both models at the same pixels of spread windows of `post`; none if they have no common place."""
    if not same_grid(pre.grid, post.grid) and None in (pre.grid.crs, post.grid.crs):
        return np.empty(0), np.empty(0)
    before = pre.on(post.grid)
    parts = []
    for window in sample_windows(post.shape):
        (first, valid), (second, also) = before.read(window), post.read(window)
        parts.append(np.stack([first[0], second[0]]).astype(np.float64)[:, valid & also])
    low, high = np.concatenate(parts, axis=1)
    return low, high
