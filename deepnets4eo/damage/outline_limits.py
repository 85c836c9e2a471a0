"""Which outlines can be buildings: one larger than any building is not measured, nor does it count as built ground.

Kernels on arrays; inputs are trusted.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

LARGEST_M2 = 2e6  # the largest buildings on Earth cover a little over one square kilometre


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
