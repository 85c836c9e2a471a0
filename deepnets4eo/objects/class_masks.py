"""The mask of one class, cleaned by an opening in metres, read window by window as if the whole raster were opened.

Takes a layer of labels; what is not valid, or lies beyond the edge, is not of the class. Refuses openings below zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, gsd_m
from deepnets4eo.rasters.scene import Layer

Read = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]


def class_mask(labels: Layer, value: int, opening_m: float = 0.0) -> Read:
    """A reader of windows: (1, h, w) uint8, 1 where the label is `value` and the opening leaves it; all valid.

    opening_m : diameter of the disc; what it does not fit into is removed. Below three pixels it does nothing.

    Source of the step: Audebert et al., Remote Sensing 9(4):368, 2017. Peak memory: 40 bytes a pixel of a window.

    >>> labels = Layer.open(np.array([[1, 1, 0], [0, 1, 2]], np.uint8))
    >>> class_mask(labels, 1)(Window(0, 0, 2, 3))[0][0].tolist()
    [[1, 1, 0], [0, 1, 0]]
    """
    if not (np.isfinite(opening_m) and opening_m >= 0):
        raise InputError(f"opening_m is {opening_m}, expected a number of metres of 0 or more.")
    sides_m = gsd_m(labels.grid)
    if opening_m > max(labels.shape) * max(sides_m) + 1:
        raise InputError(
            f"opening_m is {opening_m:g} m, more than the labels of {labels.source} are wide. Give a smaller one."
        )
    radius_m = (opening_m - float(np.mean(sides_m))) / 2  # a disc of d pixels reaches (d - 1) / 2 from its middle
    halo_px = int(np.ceil(2 * max(radius_m, 0) / min(sides_m))) + 1 if radius_m >= min(sides_m) else 0

    def read(window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        around = window.grown(halo_px)
        data, valid = labels.read(around)
        mask = valid & (data[0] == value)
        if halo_px and mask.any():
            mask = opened(mask, radius_m, sides_m)
        rows, cols = window.within(around).slices
        return mask[None, rows, cols].astype(np.uint8), np.ones((window.height, window.width), bool)

    return read


def opened(mask: NDArray[np.bool_], radius_m: float, sides_m: tuple[float, float]) -> NDArray[np.bool_]:
    """Morphological opening by the disc of pixel centres within `radius_m`; beyond the array nothing is set.

    mask : (h, w) bool ; sides_m : ground size of a pixel along rows' step and columns' step
    """
    near = radius_m + 1e-6 * min(sides_m)  # centres exactly on the circle belong to the disc
    eroded = distance_transform_edt(np.pad(mask, 1), sides_m)[1:-1, 1:-1] > near
    if not eroded.any():
        return eroded
    grown: NDArray[np.bool_] = distance_transform_edt(~eroded, sides_m) <= near
    return grown
