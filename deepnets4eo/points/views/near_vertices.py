"""The vertex nearest to each point of a cloud, without a search in a tree for most points.

A point at distance d from some vertex u has its nearest vertex within 2·d of u. Where the list of the vertices around u
reaches that far, it holds the nearest one, which is therefore exact; only for the other points a tree is searched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask

LISTED = 16  # vertices around each that are kept; more are needed by hardly any point
SLACK = 1 + 1e-6  # distances of the lists are rounded to float32

MOST_LEFT = 0.85  # share of undecided points from which a shorter table of them costs more than it saves

Search = Callable[[Floats], Indices]  # (n, 3) positions → (n,) nearest vertices by a tree


@dataclass(frozen=True, eq=False)
class NearVertices:
    """A vertex near each point (N,), any vertex is right but a far one is slow, and the nearest vertices (V, k) of each
    vertex, itself first, with their distances in metres."""

    of_point: NDArray[np.int32]
    around: NDArray[np.int32]
    distance_m: NDArray[np.float32]

    def nearest(self, vertices: NDArray[np.float32], xyz: Floats, points: slice, search: Search) -> Indices:
        """Find the vertex nearest to each of some of the points (n, 3); `search` answers where the lists do not decide."""
        best = self.of_point[points].astype(np.int64)
        listed = self.around.shape[1]
        first_m = _distances(xyz, vertices.take(best, axis=0))
        left = _Undecided(np.arange(len(xyz)), best * listed, xyz, first_m, first_m.copy())
        for rank in range(1, listed):  # every list begins with the vertex itself
            left = self._without_decided(left, rank, MOST_LEFT)
            other = self.around.take(left.list_start + rank)
            distance = _distances(left.xyz, vertices.take(other, axis=0))
            nearer = np.flatnonzero(distance < left.least_m)
            best[left.row.take(nearer)] = other.take(nearer)
            left.least_m[nearer] = distance.take(nearer)
        left = self._without_decided(left, listed - 1)
        if listed < len(vertices) and len(left.row):
            best[left.row] = search(left.xyz)
        return best

    def _without_decided(self, left: _Undecided, rank: int, most_left: float = 1.0) -> _Undecided:
        """Those for which vertices from a rank on may be nearer; all, where more than a share of them is such."""
        to_vertex_m = self.distance_m.take(left.list_start + rank)
        rows = np.flatnonzero(to_vertex_m < (left.first_m + left.least_m) * SLACK)
        if len(rows) > most_left * len(left.row):
            return left
        return _Undecided._make(values.take(rows, axis=0) for values in left)

    def nearest_known(self, known: Mask) -> Indices:
        """Return for each vertex that is not known the nearest known one in its list, −1 where the list holds none."""
        around = self.around[~known]
        listed = known[around]
        first = listed.argmax(axis=1)
        every = np.arange(len(around))
        return np.where(listed[every, first], around[every, first], -1).astype(np.int64)


class _Undecided(NamedTuple):
    """Points (n,) whose nearest vertex may be another one: row among all, where the list of their first vertex starts,
    position (n, 3), distance of the first vertex, and of the nearest so far."""

    row: Indices
    list_start: Indices
    xyz: Floats
    first_m: Floats
    least_m: Floats


def _distances(xyz: Floats, others: NDArray[np.float32]) -> Floats:
    away = xyz - others
    return np.sqrt(np.einsum("nk,nk->n", away, away))
