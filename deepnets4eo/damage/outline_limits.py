"""Which outlines can be buildings, and which part of an outline matters: what keeps the cost of a job to its image.

Kernels on arrays; inputs are trusted. An outline larger than any building is not measured, nor does it count as built
ground for its neighbours; of a long edge only the pieces near the window at hand are ever made.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Points

LARGEST_M2 = 2e6  # the largest buildings on Earth cover a little over one square kilometre
CHUNK = 16_384  # outlines that are shapes at the same time while all are made flat arrays: a shape takes 400 bytes
SLACK_PX = 1.0  # around a box, so that rounding loses no piece


def larger_than_buildings(outlines: NDArray[np.object_], pixel_m: float) -> NDArray[np.bool_]:
    """(N,) bool: outlines that cover more than any building does.

    outlines : (N,) polygons in pixels; pixel_m : size of a pixel, metres.

    >>> larger_than_buildings(np.array([shapely.box(0, 0, 30, 20), shapely.box(0, 0, 8000, 8000)]), 0.5).tolist()
    [False, True]
    """
    too_large: NDArray[np.bool_] = shapely.area(outlines) * pixel_m**2 > LARGEST_M2
    return too_large


def without(outlines: NDArray[np.object_], unwanted: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The outlines (N,), empty where they are unwanted."""
    return np.where(unwanted, shapely.Polygon(), outlines) if unwanted.any() else outlines


def pieces_near(begin: Points, end: Points, count: Indices, low: Points, high: Points) -> tuple[Indices, Indices]:
    """Of edges cut into equal pieces, the pieces that may meet a box: number of the first (E,), how many (E,).

    begin, end : (E, 2) float64, ends of the edges; count : (E,) int64, pieces of each; low, high : (2,) corners.

    >>> one = np.array([[0.0, 5.0]]), np.array([[1000.0, 5.0]]), np.array([1000])
    >>> [part.tolist() for part in pieces_near(*one, np.array([500.0, 0.0]), np.array([510.0, 9.0]))]
    [[498], [14]]
    """
    low, high = low - SLACK_PX, high + SLACK_PX
    first, number = np.zeros(len(count), np.int64), np.array(count, np.int64)
    beyond = ((np.minimum(begin, end) < low) | (np.maximum(begin, end) > high)).any(axis=1)
    if not beyond.any():
        return first, number
    begin, step = begin[beyond], end[beyond] - begin[beyond]
    level = step == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.stack([(low - begin) / step, (high - begin) / step])
    enter, leave = shares.min(axis=0), shares.max(axis=0)
    outside = level & ((begin < low) | (begin > high))
    enter, leave = np.where(level, 0.0, enter), np.where(level, 1.0, leave)
    enter = np.clip(enter, 0, 1).max(axis=1)
    leave = np.where(outside.any(axis=1), -1.0, np.clip(leave, 0, 1).min(axis=1))
    pieces = count[beyond]
    start = np.maximum(np.floor(enter * pieces).astype(np.int64) - 1, 0)
    stop = np.minimum(np.ceil(leave * pieces).astype(np.int64) + 1, pieces)
    meets = leave >= enter
    first[beyond], number[beyond] = start, np.where(meets, np.maximum(stop - start, 0), 0)
    return first, number


def chunks(count: int, size: int = CHUNK) -> list[slice]:
    """Runs of at most `size` of `count` outlines; one empty run where there are none."""
    return [slice(start, min(start + size, count)) for start in range(0, max(count, 1), size)]


def concatenate_starts(starts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Where each of all items begins, from where the items of each part do: (M + 1,) each, one (N + 1,) returned."""
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part) for part in starts]))]).astype(np.int64)
