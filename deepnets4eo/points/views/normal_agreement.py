"""Noise as the public code of SnapNet measures it: how well normals that are estimated several times from random planes agree.

Takes points in metres and the neighbours of each; returns 0 where the normals are the same, 1 where they are not.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices

ESTIMATES, PLANES = 5, 24  # normals of a point, and the random planes that vote for each; the public code draws 700
SAME_COSINE = np.float32(np.cos(np.radians(10)))  # planes whose normals differ by less vote together
AT_ONCE = 512  # points: what is computed for so many stays in the cache
LOWEST = 0.95  # mean |cosine| between the estimates that is shown as 1, as in the public code


def normal_disagreement(columns: NDArray[np.floating], index: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return (n,) (1 − m) / 0.05, at most 1, with m the mean of |cos| over the 10 pairs of 5 normals, each the mean of
    the largest group of like normals among 24 planes through three of the points around (after Boulch and Marlet
    2012); 0 where the points span no plane. Memory: 8 MiB.

    >>> flat = np.stack([*np.divmod(np.arange(16.0), 4), np.zeros(16)])
    >>> normal_disagreement(flat, np.arange(16)[None]).tolist()
    [0.0]
    """
    noise = np.empty(len(index), np.float32)
    for start in range(0, len(index), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        around = np.stack([column[index[part]] for column in columns]).astype(np.float64)
        noise[part] = _disagreement((around - around[:, :, :1]).astype(np.float32))
    return noise


def _disagreement(around: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) of the points (3, n, k) around each of n, relative to one of them."""
    estimates = [_voted_normal(around, positions) for positions in drawn_positions(around.shape[2])]
    pairs = [np.abs((one * other).sum(axis=0)) for one, other in combinations(estimates, 2)]
    spanned = np.all([one.any(axis=0) for one in estimates], axis=0)
    noise: NDArray[np.float32] = np.clip((1 - np.mean(pairs, axis=0)) / (1 - LOWEST), 0, 1)
    return np.where(spanned, noise, np.float32(0))


@cache
def drawn_positions(count: int) -> Indices:
    """(5, 24, 3) positions in lists of neighbours of this length: three different ones a plane, the same in every call."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(count, 3, replace=False) for _ in range(ESTIMATES * PLANES)]
    return np.array(draws, np.int64).reshape(ESTIMATES, PLANES, 3)


def _voted_normal(around: NDArray[np.float32], positions: Indices) -> NDArray[np.float32]:
    """(3, n) mean normal of the largest group of like planes; 0 where all planes are degenerate."""
    normals = _plane_normals(*(around[:, :, positions[:, number]] for number in range(3)))
    x, y, z = normals
    cosines = x[:, :, None] * x[:, None]  # (n, planes, planes)
    cosines += y[:, :, None] * y[:, None]
    cosines += z[:, :, None] * z[:, None]
    largest = np.count_nonzero(np.abs(cosines) > SAME_COSINE, axis=2).argmax(axis=1)
    with_largest = cosines[np.arange(len(cosines)), largest]
    weights = np.where(np.abs(with_largest) > SAME_COSINE, np.sign(with_largest), np.float32(0))
    return _unit((normals * weights).sum(axis=2))


def _plane_normals(
    corner: NDArray[np.float32], second: NDArray[np.float32], third: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(3, n, planes) of length 1, of the planes through three points each; 0 where these lie on a line."""
    ax, ay, az = second - corner
    bx, by, bz = third - corner
    return _unit(np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (3, …) of length 1; those of length 0 stay."""
    length = np.sqrt((vectors * vectors).sum(axis=0))
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
