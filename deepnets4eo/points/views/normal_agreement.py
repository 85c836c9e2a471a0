"""Noise as the public code of SnapNet measures it: how well normals that are estimated several times from random planes agree.

Takes points in metres and the neighbours of each; returns 0 where the normals are the same, 1 where they are not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices

ESTIMATES, PLANES = 5, 24  # normals of a point, and the random planes that vote for each; the public code draws 700
SAME_COSINE = np.float32(np.cos(np.radians(10)))  # planes whose normals differ by less vote together
LOWEST = 0.95  # mean |cosine| between the estimates that is shown as 1, as in the public code


def normal_disagreement(columns: NDArray[np.floating], index: NDArray[np.integer]) -> NDArray[np.float32]:
    """Compare the normals that random planes through the points around each point vote for.

    Each of 5 normals is the mean of the largest group of like normals among 24 planes, each through three of the points, in
    the manner of Boulch and Marlet 2012 (Computer Graphics Forum 31(5)), who count votes in cells of the sphere. The same
    places in the lists of neighbours are drawn for all points, so that a result depends on the points around alone.

    Parameters
    ----------
    columns
        (3, V) metres.
    index
        (n, k) the points around each of n, at least 3.

    Returns
    -------
    (n,) float32: (1 − m) / 0.05, at most 1, with m the mean of |cos| over the 10 pairs of normals; 0 where the points span
    no plane.

    Memory: 6 KiB a point.

    >>> flat = np.stack([*np.divmod(np.arange(16.0), 4), np.zeros(16)])
    >>> normal_disagreement(flat, np.arange(16)[None]).tolist()
    [0.0]
    """
    around = np.stack([column[index] for column in columns], axis=-1).astype(np.float64)
    around -= around[:, :1]
    estimates = np.stack(
        [_voted_normal(around, places) for places in drawn_places(index.shape[1])], axis=1
    )  # (n, 5, 3)
    cosines = np.abs(estimates @ estimates.transpose(0, 2, 1))
    first, second = np.triu_indices(ESTIMATES, 1)
    mean = cosines[:, first, second].mean(axis=1)
    spanned = np.linalg.norm(estimates, axis=-1).all(axis=1)
    noise: NDArray[np.float32] = np.clip(np.where(spanned, (1 - mean) / (1 - LOWEST), 0), 0, 1).astype(np.float32)
    return noise


@cache
def drawn_places(count: int) -> Indices:
    """(5, 24, 3) places in lists of neighbours of this length: three different ones a plane, the same in every call."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(count, 3, replace=False) for _ in range(ESTIMATES * PLANES)]
    return np.array(draws, np.int64).reshape(ESTIMATES, PLANES, 3)


def _voted_normal(around: NDArray[np.float64], places: Indices) -> NDArray[np.float32]:
    """(n, 3) mean normal of the largest group of like planes; 0 where all planes are degenerate."""
    corner, second, third = (around[:, places[:, number]] for number in range(3))
    normals = np.cross(second - corner, third - corner)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0).astype(np.float32)
    cosines = normals @ normals.transpose(0, 2, 1)  # (n, planes, planes)
    like = np.abs(cosines) > SAME_COSINE
    largest = like.sum(axis=2).argmax(axis=1)
    every = np.arange(len(around))
    weights = like[every, largest] * np.sign(cosines[every, largest])
    mean = np.einsum("np,npc->nc", weights, normals)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return np.divide(mean, length, out=np.zeros_like(mean), where=length > 0)
