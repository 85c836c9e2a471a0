"""Which buildings a job would assess, by what the outlines and the post image say before any long work.

Takes the checked inputs; returns a reason for each outline that would be left out, by the rules of `evidence.table` that need
no evidence. What registration, clouds and the pre image leave out comes later.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.table import (
    CUT,
    EMPTY,
    NODATA,
    OUTSIDE,
    SMALL,
    SMALLEST_M2,
    SMALLEST_PX,
    VISIBLE_SHARE,
)
from deepnets4eo.damage.evidence.working_grid import known_or_assumed_gsd_m
from deepnets4eo.damage.inputs import Inputs

SEEN_PX = 2048  # longer side of what says where the post image has data
MOST_PX = 100_000_000  # a larger image is not read as a whole for that


def foreseen_reasons(inputs: Inputs) -> NDArray[np.object_]:
    """(N,) why each building would not be assessed, "" where it would be. Memory: the outlines, and 2048² pixels."""
    outlines, post = inputs.outlines_px, inputs.post
    height, width = post.shape
    area_px = shapely.area(outlines)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = shapely.area(shapely.intersection(outlines, shapely.box(0, 0, width, height))) / area_px
    reasons = np.full(len(outlines), "", object)
    if height * width <= MOST_PX:
        reasons[~_seen(inputs, outlines) & (inside > 0)] = NODATA
    reasons[inside < VISIBLE_SHARE] = CUT
    area_m2 = area_px * np.prod(known_or_assumed_gsd_m(post.grid))
    reasons[(area_px < SMALLEST_PX) | (area_m2 < SMALLEST_M2)] = SMALL
    reasons[inside < 1 - VISIBLE_SHARE] = OUTSIDE
    reasons[~(area_px > 0)] = EMPTY
    gone = shapely.is_empty(outlines) & ~shapely.is_empty(inputs.footprints.frame.geometry.to_numpy())
    reasons[gone] = OUTSIDE  # beyond the reach of the image's CRS
    return reasons


def _seen(inputs: Inputs, outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(N,) whether the post image has data at a point within each outline."""
    _, valid, _ = inputs.post.thumbnail(SEEN_PX)
    points = shapely.point_on_surface(outlines)
    scale = np.array(valid.shape) / inputs.post.shape
    row_col = np.column_stack([shapely.get_y(points), shapely.get_x(points)]) * scale
    known = np.asarray(np.isfinite(row_col).all(axis=1))
    row, col = np.clip(np.where(known[:, None], row_col, 0).astype(int), 0, np.array(valid.shape) - 1).T
    return np.asarray(known & valid[row, col])
