"""Scores of pixels are added to the vertices that they show, and given on to the points of the cloud.

Only what a camera sees is voted for: background and hidden faces get nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Indices, Mask, Vectors
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.views.camera import FaceView, check_of_surface
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.prefetch import cores, in_order

BLOCK = 1 << 18
SIDE = 256  # cells beside each other: points are looked up cell by cell, as neighbours use the same part of the tree
PROBABILITY_SLACK = 1e-3

Kind = Literal["probabilities", "logits"]


class Votes:
    """Sums of scores over the pixels of all views, for each vertex.

    Parameters
    ----------
    surface
        The surface of the views.
    num_classes
        K.
    kind
        What is added: "probabilities", or "logits", as published, in which confident views count more.

    Memory: 8·K bytes a vertex, however many views there are.

    Examples
    --------
    ::

        votes = Votes(surface, num_classes=8)
        for view in in_order(ray_caster(surface).view, cameras_around(surface, seed=0)):
            votes.add(view, predict(snapshot(surface, view)))
        scores, seen = to_points(surface, votes.vertex_scores(), cloud)
    """

    def __init__(self, surface: Surface, num_classes: int, kind: Kind = "probabilities") -> None:
        self._faces = surface.faces if surface.corners is None else surface.faces[:, :1]  # of splats one three times
        self._kind = kind
        self._sums = np.zeros((len(surface.vertices), num_classes))
        self._pixels = np.zeros(len(surface.vertices), np.int64)
        self._column = np.zeros(len(surface.vertices), np.int64)

    def add(self, view: FaceView, scores: FloatImage) -> None:
        """Add the scores of a view's pixels to the three vertices of their faces; every pixel counts.

        Parameters
        ----------
        view
            Which face each pixel sees.
        scores
            (K, H, W) float32, probabilities 0 to 1, or logits.

        Raises
        ------
        InputError
            Scores of another shape, or that are no probabilities where these are expected; a view of another surface.
        """
        check_of_surface(view, len(self._faces))
        expected = (self._sums.shape[1], *view.face.shape)
        if scores.shape != expected:
            raise InputError(f"scores have the shape {scores.shape}; expected {expected}, classes, rows and columns")
        seen = view.seen
        values = scores[:, seen].T
        if self._kind == "probabilities" and np.any(np.abs(values - 0.5) > 0.5 + PROBABILITY_SLACK):
            raise InputError(
                f"scores lie within {values.min()} to {values.max()}; expected probabilities, 0 to 1. Apply softmax, or "
                'give Votes the kind "logits"'
            )
        vertices = self._faces[view.face[seen]]
        self._add(vertices, values)

    def _add(self, vertices: NDArray[np.int32], values: NDArray[np.floating]) -> None:
        """Add rows (P, K) to the vertices (P, n) of each; a vertex that comes several times gets all of them."""
        from scipy.sparse import csc_array

        self._column[vertices] = 1
        own = np.flatnonzero(self._column)
        self._column[own] = np.arange(len(own))
        row = self._column[vertices].ravel()
        self._column[own] = 0
        pointers = np.arange(0, len(row) + 1, vertices.shape[1])
        sums = csc_array((np.ones(len(row)), row, pointers), shape=(len(own), len(values)))
        self._sums[own] += sums @ values.astype(np.float64)
        self._pixels[own] += np.bincount(row, minlength=len(own))

    def pixel_counts(self) -> Indices:
        """(V,) int64: how many pixels showed a face of each vertex, over all views; 0 where unseen."""
        return self._pixels.copy()

    def vertex_scores(self) -> Vectors:
        """(V, K) float32 probabilities, the mean over all pixels; rows of NaN where no view showed the vertex.

        Mean logits become probabilities by softmax.
        """
        seen = self._pixels > 0
        means = np.full(self._sums.shape, np.nan, np.float32)
        rows = self._sums[seen] / self._pixels[seen, None]
        means[seen] = _softmax(rows) if self._kind == "logits" else rows
        return means


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def to_points(surface: Surface, vertex_scores: NDArray[np.floating], cloud: PointCloud) -> tuple[Vectors, Mask]:
    """Give every point the scores of the nearest vertex; where that has none, those of the vertex's nearest scored one.

    Parameters
    ----------
    surface
        The surface.
    vertex_scores
        (V, K); rows of NaN where unknown.
    cloud
        N points, e.g. all those that the surface was made of.

    Returns
    -------
    (N, K) float32 scores, NaN where no vertex has any; (N,) bool, whether the nearest vertex has scores of its own.

    Raises
    ------
    InputError
        Scores for another number of vertices.

    Memory: 4·K + 16 bytes a point.
    """
    if len(vertex_scores) != len(surface.vertices):
        raise InputError(
            f"{len(vertex_scores):,} rows of scores for {len(surface.vertices):,} vertices; expected one each"
        )
    known = ~np.isnan(vertex_scores).any(axis=1)
    filled = _fill_from_nearest(surface, np.array(vertex_scores, np.float32), known)
    search = _nearest_by_tree(surface.vertices)
    near = None if surface.near is None or len(surface.near.of_point) != len(cloud) else surface.near
    scores, seen = np.empty((len(cloud), filled.shape[1]), np.float32), np.empty(len(cloud), bool)

    def fill(start: int) -> None:
        part = slice(start, start + BLOCK)
        xyz = cloud.xyz[part] - surface.origin
        nearest = search(xyz) if near is None else near.nearest(surface.vertices, xyz, part, search)
        scores[part], seen[part] = filled.take(nearest, axis=0), known.take(nearest)

    for _ in in_order(fill, range(0, len(cloud), BLOCK)):
        pass
    return scores, seen


def _fill_from_nearest(surface: Surface, scores: Vectors, known: Mask) -> Vectors:
    """Scores (V, K) in which vertices without any have those of the nearest vertex with some."""
    if known.all() or not known.any():
        return scores
    unknown, those = np.flatnonzero(~known), np.flatnonzero(known)
    nearest = np.full(len(unknown), -1) if surface.near is None else surface.near.nearest_known(known)
    far = nearest < 0
    if far.any():
        search = _nearest_by_tree(surface.vertices[known], workers=cores())
        nearest[far] = those[search(surface.vertices[unknown[far]])]
    scores[unknown] = scores[nearest]
    return scores


def _nearest_by_tree(vertices: NDArray[np.float32], workers: int = 1) -> Callable[[NDArray[np.floating]], Indices]:
    """A function that returns the vertices nearest to positions (n, 3)."""
    from scipy.spatial import cKDTree

    tree = cKDTree(vertices, balanced_tree=False)

    def search(xyz: NDArray[np.floating]) -> Indices:
        order = _by_cell(xyz)
        nearest = np.empty(len(xyz), np.int64)
        _, nearest[order] = tree.query(xyz[order], workers=workers)
        return nearest

    return search


def _by_cell(xyz: NDArray[np.floating]) -> Indices:
    """The order of points (n, 3) in which those of a column of square cells follow each other."""
    low, extent = xyz[:, :2].min(axis=0), np.ptp(xyz[:, :2], axis=0)
    cell = ((xyz[:, :2] - low) * ((SIDE - 0.01) / np.maximum(extent, 1e-9))).astype(np.uint16)
    return np.argsort(cell[:, 0] * np.uint16(SIDE) + cell[:, 1], kind="stable")  # 16 bits: a radix sort
