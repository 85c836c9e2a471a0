"""What cells of a map weigh at places between them, and images mirrored at their edges.

Takes places in cells; gives matrices (places, cells), so that a map is resampled by two products. Pure geometry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage


def bilinear(places: NDArray[Any], cells: int) -> FloatImage:
    """Weights of the two nearest cells, (places, cells) float32; beyond the first and last cell, theirs alone.

    >>> bilinear(np.array([-1.0, 0.25, 2.0]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    """
    inside = np.clip(places, 0, cells - 1)[:, None]
    return np.maximum(1 - np.abs(inside - np.arange(cells)), 0).astype(np.float32)


def box(places: NDArray[Any], side: float, cells: int) -> FloatImage:
    """Weights of the mean over `side` cells around places, (places, cells) float32; what lies outside does not count.

    >>> box(np.array([1.0]), 2.0, 3).tolist()
    [[0.25, 0.5, 0.25]]
    """
    middles = np.clip(places, 0, cells - 1)[:, None]
    low, high = middles - side / 2, middles + side / 2
    numbers = np.arange(cells)
    shared = np.clip(np.minimum(high, numbers + 0.5) - np.maximum(low, numbers - 0.5), 0, None)
    return (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)


def mirrored(image: FloatImage, margin: int) -> FloatImage:
    """An image (…, h, w) with a margin on each side in which it is mirrored, as often as the margin is wide.

    >>> mirrored(np.array([[1.0, 2.0, 3.0]]), 2)[0].tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(margin, margin)] * 2, mode="reflect")
