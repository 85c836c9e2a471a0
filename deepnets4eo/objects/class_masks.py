"""The mask of one class after an opening in metres, read window by window as if the whole raster were opened.

Takes a layer of labels; pixels that are not valid, or lie beyond the edge, are not of the class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, gsd_m
from deepnets4eo.rasters.scene import Layer

Read = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]


def class_mask(labels: Layer, value: int, opening_m: float = 0.0, legend: Legend | None = None) -> Read:
    """Return a reader of windows: (1, h, w) uint8, 1 where the label is `value` and the opening keeps it; all valid.

    opening_m : diameter of the disc in metres, 0 or more; what is thinner is removed. Below three pixels it does nothing.
    legend : says which values of the file stand for others, if it is given.
    Errors: InputError for an opening wider than the labels.

    Source of the step: Audebert et al., Remote Sensing 9(4):368, 2017. Peak memory: 40 bytes a pixel of a window.

    >>> labels = Layer.open(np.array([[1, 1, 0], [0, 1, 2]], np.uint8))
    >>> class_mask(labels, 1)(Window(0, 0, 2, 3))[0][0].tolist()
    [[1, 1, 0], [0, 1, 0]]
    """
    sides_m = gsd_m(labels.grid)
    if opening_m > max(labels.shape) * max(sides_m) + 1:
        raise InputError(
            f"opening_m is {opening_m:g} m, more than the width of the labels {labels.source}. Give a smaller one."
        )
    radius_m = (opening_m - float(np.mean(sides_m))) / 2  # a disc of d pixels reaches (d - 1) / 2 from its middle
    halo_px = int(np.ceil(2 * max(radius_m, 0) / min(sides_m))) + 1 if radius_m >= min(sides_m) else 0

    def read(window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        around = window.grow(halo_px)
        data, valid = labels.read(around)
        mask = valid & ((data[0] if legend is None else legend.from_file(data[0])) == value)
        if halo_px and mask.any():
            mask = open_mask(mask, radius_m, sides_m)
        rows, cols = window.within(around).slices
        return mask[None, rows, cols].astype(np.uint8), np.ones((window.height, window.width), bool)

    return read


def open_mask(mask: NDArray[np.bool_], radius_m: float, sides_m: tuple[float, float]) -> NDArray[np.bool_]:
    """Return the morphological opening by the disc of pixel centres within `radius_m`; beyond the array nothing is set.

    mask : (h, w) bool. sides_m : ground size of a pixel along rows' step and columns' step.
    """
    near = radius_m + 1e-6 * min(sides_m)  # centres exactly on the circle belong to the disc
    eroded = distance_transform_edt(np.pad(mask, 1), sides_m)[1:-1, 1:-1] > near
    if not eroded.any():
        return eroded
    grown: NDArray[np.bool_] = distance_transform_edt(~eroded, sides_m) <= near
    return grown
