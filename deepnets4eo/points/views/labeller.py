"""Labelling by views: views of a surface are labelled in batches, and their pixels vote for its vertices.

Returns votes, and scores of vertices, of the points of a cloud, or on the grid that the surface was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Indices, Mask, Vectors
from deepnets4eo.cards import Legend
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.views.camera import FaceView, check_of_surface
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.segmenters import Run, Segmenter, load_run
from deepnets4eo.system import cores

PROBABILITY_SLACK = 1e-3


Layers = Mapping[str, NDArray[Any]]
VoteKind = Literal["probabilities", "logits"]


class ViewLabeller:
    """Base of labellers by views: the segmenter of views, and the number of views that it labels at once."""

    at_once: ClassVar[int] = 8  # views that a network labels at once

    def __init__(self, segmenter: Segmenter, *, batch_size: int = at_once) -> None:
        self.segmenter, self.batch_size = segmenter, batch_size

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.segmenter.legend

    def vertex_scores(
        self, surface: Surface, views: Iterable[tuple[FaceView, Layers]], kind: VoteKind
    ) -> NDArray[np.floating]:
        """Return the scores (V, K) of the vertices of a surface by the votes of views; NaN if no view shows them."""
        return vote_views(self.segmenter, surface, views, kind=kind, batch_size=self.batch_size).vertex_scores()

    def grid_scores(
        self, surface: Surface, views: Iterable[tuple[FaceView, Layers]], kind: VoteKind, shape: tuple[int, int]
    ) -> tuple[FloatImage, Mask]:
        """Return the scores (K, h, w) by the votes of views, NaN if unknown, and the mask (h, w) of known cells, on the grid of
        the depth image that the surface was made of."""
        votes = self.vertex_scores(surface, views, kind)
        pixels = shape[0] * shape[1]
        scores = np.full((votes.shape[1], pixels), np.nan, np.float32)
        scores[:, surface.point_index] = votes.T
        seen = ~np.isnan(scores).any(axis=0)
        return scores.reshape(-1, *shape), seen.reshape(shape)

    def view_scores(self, layers: Layers, kind: VoteKind) -> FloatImage:
        """Return the scores (K, h, w) of one view: probabilities, or logits."""
        return _predictor(self.segmenter, kind)(self.segmenter.inputs.prepare(layers)[None])[0]

    @staticmethod
    def open_run(run: str | Path | Run, task: str, use: str) -> Run:
        """Open a run of a task, its network on a GPU if there is one, in float32.

        Raises RunError for no run, or one of another task; `use` states what those do not do.
        """
        loaded = run if isinstance(run, Run) else load_run(run)
        own_task = loaded.recipe.get("task")
        if own_task != task:
            raise RunError(
                f"{loaded.folder} is a run of the task {own_task!r}, which does not {use}. Train one with deepnets4eo train "
                f"points/{task}."
            )
        loaded.segmenter.to(choose(precision="float32"))
        return loaded


def vote_views(
    segmenter: Segmenter,
    surface: Surface,
    views: Iterable[tuple[FaceView, Layers]],
    *,
    kind: VoteKind = "probabilities",
    batch_size: int = ViewLabeller.at_once,
) -> Votes:
    """Label views and add the scores of their pixels to the vertices that they show. Raises InputError for views of
    another surface. Memory grows with `batch_size`, not with the number of views."""
    votes = Votes(surface, segmenter.legend.num_classes, kind)
    predict = _predictor(segmenter, kind)
    waiting = iter(views)
    while batch := list(islice(waiting, batch_size)):
        prepared = np.stack([segmenter.inputs.prepare(layers) for _, layers in batch])
        for (view, _), scores in zip(batch, predict(prepared), strict=True):
            votes.add(view, scores)
    return votes


def _predictor(segmenter: Segmenter, kind: VoteKind) -> Callable[[FloatImage], FloatImage]:
    """Return the method of a segmenter for "probabilities" or "logits"."""
    return segmenter.predict_raw if kind == "logits" else segmenter.predict_proba


class Votes:
    """Sums of scores over the pixels of all views, for each vertex.

    Parameters
    ----------
    surface : the surface of the views
    num_classes : K
    kind : the quantity that is summed: "probabilities", or "logits", as published, which give confident views more weight

    Memory: 8·K bytes per vertex.
    """

    def __init__(self, surface: Surface, num_classes: int, kind: VoteKind = "probabilities") -> None:
        self._faces = surface.faces if surface.corners is None else surface.faces[:, :1]  # of splats one three times
        self._kind = kind
        self._sums = np.zeros((len(surface.vertices), num_classes))
        self._pixels = np.zeros(len(surface.vertices), np.int64)
        self._column = np.zeros(len(surface.vertices), np.int64)

    def add(self, view: FaceView, scores: FloatImage) -> None:
        """Add the scores (K, H, W) float32 of a view's pixels to the vertices of their faces.

        Raises InputError for another shape, no probabilities where these are expected, or a view of another surface.
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
        """Add rows (P, K) to the vertices (P, n) of each."""
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

    def vertex_scores(self) -> Vectors:
        """Return probabilities (V, K) float32, means over all pixels (of logits: their softmax); NaN if unseen."""
        from scipy.special import softmax

        seen = self._pixels > 0
        means = np.full(self._sums.shape, np.nan, np.float32)
        rows = self._sums[seen] / self._pixels[seen, None]
        means[seen] = softmax(rows, axis=1) if self._kind == "logits" else rows
        return means


def to_points(surface: Surface, vertex_scores: NDArray[np.floating], cloud: PointCloud) -> tuple[Vectors, Mask]:
    """Give every point the scores of the nearest vertex; if this vertex has no scores, use the scored vertex nearest to it.

    Parameters
    ----------
    surface : the surface
    vertex_scores : (V, K); rows of NaN if unknown
    cloud : N points

    Returns
    -------
    (N, K) float32 scores, NaN if no vertex has scores; (N,) bool, whether the nearest vertex has its own scores.

    Raises
    ------
    InputError
        The scores are for another number of vertices.
    """
    if len(vertex_scores) != len(surface.vertices):
        raise InputError(
            f"{len(vertex_scores):,} rows of scores for {len(surface.vertices):,} vertices; expected one each"
        )
    known = ~np.isnan(vertex_scores).any(axis=1)
    filled = np.array(vertex_scores, np.float32)
    if not known.all() and known.any():
        filled[~known] = filled[known][_nearest(surface.vertices[known], surface.vertices[~known])]
    nearest = _nearest(surface.vertices, cloud.xyz - surface.origin)
    return filled.take(nearest, axis=0), known.take(nearest)


def _nearest(vertices: NDArray[np.float32], xyz: NDArray[np.floating]) -> Indices:
    """Return the index of the vertex nearest to each position (n, 3)."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(vertices, balanced_tree=False).query(xyz, workers=cores())[1])
