"""Weights of the cells of a map at positions between them, and images mirrored at their edges.

Takes positions in cells; returns matrices (positions, cells), so that a map is resampled by two products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage


def bilinear_weights(positions: NDArray[Any], cells: int) -> FloatImage:
    """Return weights of the two nearest cells, (positions, cells) float32; beyond the first and last cell, only theirs.

    >>> bilinear_weights(np.array([-1.0, 0.25, 2.0]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    """
    inside = np.clip(positions, 0, cells - 1)[:, None]
    return np.maximum(1 - np.abs(inside - np.arange(cells)), 0).astype(np.float32)


def box_weights(positions: NDArray[Any], side: float, cells: int) -> FloatImage:
    """Return weights of the mean over `side` cells around positions, (positions, cells) float32; what lies outside does not count.

    >>> box_weights(np.array([1.0]), 2.0, 3).tolist()
    [[0.25, 0.5, 0.25]]
    """
    centres = np.clip(positions, 0, cells - 1)[:, None]
    low, high = centres - side / 2, centres + side / 2
    numbers = np.arange(cells)
    shared = np.clip(np.minimum(high, numbers + 0.5) - np.maximum(low, numbers - 0.5), 0, None)
    return (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)


def mirror_pad(image: FloatImage, margin: int) -> FloatImage:
    """Return an image (…, h, w) with a mirrored margin on each side, mirrored again where it is wider than the image.

    >>> mirror_pad(np.array([[1.0, 2.0, 3.0]]), 2)[0].tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(margin, margin)] * 2, mode="reflect")
