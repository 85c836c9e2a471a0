"""Scores of points averaged over their neighbours, so that single points do not differ from all around them.

Takes coordinates and probabilities; points without scores do not count, and take those of their neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.points.features.neighbourhoods import Neighbours, for_all_blocks, voxelise

VOXELS_PER_RADIUS = 3.0


def smooth_scores(
    xyz: Floats, scores: NDArray[np.float32], radius_m: float, *, workers: int | None = None
) -> NDArray[np.float32]:
    """Return the mean scores of all points in the voxels around each point.

    Parameters
    ----------
    xyz
        (N, 3) metres.
    scores
        (N, K) probabilities; rows of NaN where they are unknown.
    radius_m
        How far the middles of voxels lie from the middle of the point's own, at most; voxels are a third as wide.
    workers
        Threads, by default one a core.

    Returns
    -------
    ndarray
        (N, K) float32; rows of NaN where nothing is known within the radius.

    Raises
    ------
    InputError
        A radius that is not above 0, or another number of scores than of points.

    Examples
    --------
    >>> line = np.column_stack([np.arange(3.0), np.zeros((3, 2))])
    >>> (6 * smooth_scores(line, np.array([[1, 0], [0, 1], [1, 0]], np.float32), 1.5)).round().tolist()
    [[3.0, 3.0], [4.0, 2.0], [3.0, 3.0]]
    """
    if not radius_m > 0 or len(scores) != len(xyz):
        raise InputError(
            f"radius_m={radius_m} with {len(scores):,} scores of {len(xyz):,} points; expected a radius above 0, and scores of "
            "every point."
        )
    voxels = voxelise(xyz, radius_m / VOXELS_PER_RADIUS)
    known: Mask = ~np.isnan(scores.sum(axis=1))
    weighted: Floats = np.where(known[:, np.newaxis], scores, 0).astype(np.float64)
    sums = np.stack([voxels.total(known.astype(np.float64)), *(voxels.total(one) for one in weighted.T)], axis=1)

    def of_block(near: Neighbours) -> Floats:
        total = near.sums(sums[near.index])
        count = total[:, :1]
        return np.where(count > 0, total[:, 1:] / np.maximum(count, 1), np.nan)

    return for_all_blocks(voxels.centres, radius_m, scores.shape[1], of_block, workers)[voxels.voxel]
