"""The ground under a surface model: objects are removed by morphological openings, and the gaps are filled smoothly.

Buildings wider than `max_building_m` in both directions stay in the ground."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import InputError

MAX_BUILDING_M = 50.0
SLOPE = 0.15  # rise of the terrain per metre that is still ground
MIN_HEIGHT_M = 0.3  # objects lower than this are ground
MAX_STEP_M = 2.5  # a rise that is no ground at any window
PIT_M = 5.0  # a single pixel so far below all its neighbours is an error of measurement
RELAXATIONS = 12
WIDEST_PX = 10**6  # radius of an opening; rasters are cut to their own side long before


def ground(
    dsm: NDArray[np.floating], gsd_m: float = 1.0, *, max_building_m: float = MAX_BUILDING_M, slope: float = SLOPE
) -> FloatImage:
    """Estimate terrain heights from surface heights by the progressive morphological filter (Zhang et al. 2003).

    Its threshold grows with the step between windows. Memory: about 40 bytes per pixel.

    Parameters
    ----------
    dsm : (h, w) surface heights, metres; NaN if unknown
    gsd_m : ground size of a pixel, metres
    max_building_m : width of the largest building, metres
    slope : rise of the terrain per metre that is still ground

    Returns
    -------
    (h, w) float32 metres, known everywhere; above the surface only under single pixels far below their neighbours

    Raises
    ------
    InputError
        For a surface that is unknown everywhere, or settings that are not above 0.

    Examples
    --------
    >>> surface = np.zeros((40, 40), np.float32)
    >>> surface[10:20, 12:25] = 8.0
    >>> float(ground(surface, max_building_m=20).max())
    0.0
    """
    known = np.isfinite(dsm)
    _check(known, gsd_m=gsd_m, max_building_m=max_building_m, slope=slope)
    surface = without_gaps(dsm, known)
    known = known & ~_pits(surface)
    surface = without_gaps(surface, known)
    limits = _limits(gsd_m, max_building_m, slope, max(surface.shape))
    terrain = without_gaps(surface, known & ~_objects(surface, limits))
    return np.minimum(terrain, surface)


def reach_px(gsd_m: float, max_building_m: float) -> int:
    """Return the distance in pixels beyond which `ground` hardly depends on heights.

    It covers the widest opening, and the ground around the widest gap."""
    return 4 * _widest(gsd_m, max_building_m)


def without_gaps(heights: NDArray[np.floating], known: Mask) -> FloatImage:
    """Return heights (h, w) float32 with unknown ones filled smoothly, from coarse to fine; known ones stay. Gaps solve
    nearly Laplace's equation: a plane around a gap continues inside it."""
    filled = np.where(known, heights, 0).astype(np.float32)
    if known.all():
        return filled
    if max(filled.shape) <= 2:
        return np.where(known, filled, filled.sum() / max(int(known.sum()), 1)).astype(np.float32)
    coarse = without_gaps(*_halve(filled, known))
    enlarged = coarse.repeat(2, axis=0).repeat(2, axis=1)[: filled.shape[0], : filled.shape[1]]
    filled = np.where(known, filled, enlarged)
    for _ in range(RELAXATIONS):
        padded = np.pad(filled, 1, mode="edge")
        around = padded[:-2, 1:-1] + padded[2:, 1:-1]
        around += padded[1:-1, :-2]
        around += padded[1:-1, 2:]
        filled = np.where(known, filled, around / 4)
    return filled


def _halve(heights: FloatImage, known: Mask) -> tuple[FloatImage, Mask]:
    """Return means of the known heights in squares of two pixels, and the mask of squares with any known height."""
    odd = [(0, side % 2) for side in heights.shape]
    count = np.pad(known, odd).astype(np.float32)
    total = np.pad(heights * known, odd)
    shape = (total.shape[0] // 2, 2, total.shape[1] // 2, 2)
    number = count.reshape(shape).sum(axis=(1, 3))
    return total.reshape(shape).sum(axis=(1, 3)) / np.maximum(number, 1), number > 0


def _objects(surface: FloatImage, limits: list[tuple[int, float]]) -> Mask:
    """Pixels that an opening with one of the growing squares lowers by more than its limit in metres."""
    from scipy import ndimage

    objects = np.zeros(surface.shape, bool)
    before = surface
    for radius, limit in limits:
        side = 2 * radius + 1
        lowest = ndimage.minimum_filter(surface, side, mode="nearest")
        opened = ndimage.maximum_filter(lowest, side, mode="nearest")
        objects |= before - opened > limit + MIN_HEIGHT_M
        before = opened
    return objects


def _limits(gsd_m: float, max_building_m: float, slope: float, side_px: int) -> list[tuple[int, float]]:
    """Return (radius of the square in pixels, rise in metres that is still terrain), growing by half each time.

    A square that covers a surface of `side_px` is the last: wider ones remove nothing more.
    """
    widest = _widest(gsd_m, max_building_m)
    radii = [1]
    while radii[-1] < min(widest, side_px):
        radii.append(min(max(radii[-1] + 1, radii[-1] * 3 // 2), widest))
    steps = np.diff([0, *radii])
    return [(radius, min(slope * 2 * step * gsd_m, MAX_STEP_M)) for radius, step in zip(radii, steps, strict=True)]


def _widest(gsd_m: float, max_building_m: float) -> int:
    return max(math.ceil(min(max_building_m / gsd_m / 2, WIDEST_PX)), 1)


def _pits(surface: FloatImage) -> Mask:
    from scipy import ndimage

    around = np.ones((3, 3), bool)
    around[1, 1] = False
    return surface < ndimage.minimum_filter(surface, footprint=around, mode="nearest") - PIT_M


def _check(known: Mask, **sizes: float) -> None:
    if known.ndim != 2:
        raise InputError(f"the surface model has the shape {known.shape}, expected (h, w). Give one band of heights.")
    if not known.any():
        raise InputError("the surface model has no valid height (all NaN). Check its nodata value.")
    for name, value in sizes.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name} is {value}, expected more than 0, and finite.")
