"""Checks of the surface models of two dates: two different ones, in one unit.

Both models show the same ground, so that the middle height in feet is 3.28 times the middle height in metres, whatever was destroyed.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as.images import are_one, sample_windows

FOOT_M = 0.3048
# of middle heights: by the fall of most houses of a synthetic city 279 m high it changes by 0.03 %
SAME_RATIO = 0.01
LOWEST_M = 20.0  # middle height: nearer to the sea, heights that were lost change the ratio


def check_two_surface_models(pre: Layer, post: Layer, names: tuple[str, str]) -> None:
    """Refuse (InputError) one surface model given for both dates, and a pair in feet and in metres, by its middle heights.

    names : how messages call them"""
    if are_one(pre, post):
        raise InputError(
            f"{names[0]} ({pre.source}) and {names[1]} ({post.source}) are one surface model: no height can have changed between them. Give the "
            "models of two dates, or none."
        )
    if pre.declared.unit and post.declared.unit:
        return
    heights = [_middle_height(layer) for layer in (pre, post)]
    for (low, lower), (high, higher) in permutations(zip(heights, ((names[0], pre), (names[1], post)), strict=True)):
        if low >= LOWEST_M and abs(high * FOOT_M / low - 1) <= SAME_RATIO:
            raise InputError(
                f"{higher[0]} ({higher[1].source}) seems to be in feet: its middle height is {high:.4g}, that of {lower[0]} ({lower[1].source}) "
                f"{low:.4g}, which is {high / low:.3g} times less. State the unit of both: gdal_edit.py -units ft FEET.tif, "
                "gdal_edit.py -units m METRES.tif."
            )


def _middle_height(layer: Layer) -> float:
    """Return the median height of windows spread over a model; NaN without heights."""
    parts = [data[0][valid] for data, valid in map(layer.read, sample_windows(layer.shape))]
    heights = np.concatenate(parts)
    return float(np.median(heights)) if heights.size else float("nan")
