"""Labelling by views: views of a surface are labelled in batches, and their pixels vote for its vertices.

Of clouds, depth images and grids alike. Takes views and what they show; returns votes, and scores on the grid that a surface
was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.cards.legend import Legend
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.points.views.camera import Camera, FaceView
from deepnets4eo.points.views.casters import ray_caster
from deepnets4eo.points.views.snapshots import Third, snapshot
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.points.views.votes import Votes
from deepnets4eo.prefetch import in_order
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.segmenters.segmenter import Segmenter

BATCH = 8  # views that a network labels at once

Layers = Mapping[str, NDArray[Any]]
VoteKind = Literal["probabilities", "logits"]


class ViewLabeller:
    """What labellers by views share: the segmenter of views, and how many of them it labels at once (memory grows with
    that number, not with the number of views)."""

    def __init__(self, segmenter: Segmenter, *, batch_size: int = BATCH) -> None:
        self.segmenter, self.batch_size = segmenter, batch_size

    @property
    def legend(self) -> Legend:
        """The classes; values are the codes written to files."""
        return self.segmenter.legend

    def vertex_scores(
        self, surface: Surface, views: Iterable[tuple[FaceView, Layers]], kind: VoteKind
    ) -> NDArray[np.floating]:
        """Return the scores (V, K) of the vertices of a surface by the votes of views; NaN where none shows them."""
        return vote_views(self.segmenter, surface, views, kind=kind, batch_size=self.batch_size).vertex_scores()


def open_view_run(run: str | Path | Run, task: str, use: str) -> Run:
    """Open a run of a task, its network on a GPU where there is one, computing in float32. Raises RunError where the
    folder is no run, or one of another task; `use` says what those do not do."""
    loaded = run if isinstance(run, Run) else load_run(run)
    own_task = loaded.recipe.get("task")
    if own_task != task:
        raise RunError(
            f"{loaded.folder} is a run of the task {own_task!r}, which does not {use}. Train one with deepnets4eo train "
            f"points/{task}."
        )
    loaded.segmenter.to(choose(precision="float32"))
    return loaded


def rendered_views(
    surface: Surface, cameras: Sequence[Camera], *, third: Third = "depth", ahead: int = BATCH
) -> Iterator[tuple[FaceView, dict[str, NDArray[Any]]]]:
    """Yield what cameras see of a surface: the faces of each view and the layers of `snapshot` with "valid" (H, W);
    views that show nothing are left out, and `ahead` views are computed before the network needs them."""
    for view in in_order(ray_caster(surface).view, cameras, 1, ahead):
        if view.seen.any():
            yield view, snapshot(surface, view, third=third) | {"valid": view.seen}


def vote_views(
    segmenter: Segmenter,
    surface: Surface,
    views: Iterable[tuple[FaceView, Layers]],
    *,
    kind: VoteKind = "probabilities",
    batch_size: int = BATCH,
) -> Votes:
    """Label views and add the scores of their pixels to the vertices that they show; `vertex_scores()` of the result is
    (V, K). Raises InputError for views of another surface. Memory grows with `batch_size`, not with the number of
    views."""
    votes = Votes(surface, segmenter.legend.num_classes, kind)
    predict = predictor(segmenter, kind)
    for batch in _batches(views, batch_size):
        prepared = np.stack([segmenter.inputs.prepare(layers) for _, layers in batch])
        for (view, _), scores in zip(batch, predict(prepared), strict=True):
            votes.add(view, scores)
    return votes


def predictor(segmenter: Segmenter, kind: VoteKind) -> Callable[[FloatImage], FloatImage]:
    """Return the method of a segmenter for "probabilities" or "logits"."""
    return segmenter.predict_raw if kind == "logits" else segmenter.predict_proba


def grid_scores(
    surface: Surface, vertex_scores: NDArray[np.floating], shape: tuple[int, int]
) -> tuple[FloatImage, Mask]:
    """Return the scores (K, h, w) of vertices, NaN where unknown, and where they are known (h, w), on the grid of the
    depth image or surface model of the surface. Raises InputError for another number of vertices or pixels.

    >>> from affine import Affine
    >>> from deepnets4eo.points.views import surface_of_heights
    >>> surface = surface_of_heights(np.array([[1, np.nan], [3, 4.0]]), Affine.identity())
    >>> scores, seen = grid_scores(surface, np.array([[0.1], [0.2], [0.3]]), (2, 2))
    >>> int(seen.sum()), bool(seen[0, 1])
    (3, False)
    """
    pixels = shape[0] * shape[1]
    if len(vertex_scores) != len(surface.vertices) or surface.point_index.max(initial=0) >= pixels:
        raise InputError(
            f"{len(vertex_scores):,} rows of scores for {len(surface.vertices):,} vertices on a grid of {shape} pixels; expected "
            "one row each, and the grid that the surface was made of"
        )
    scores = np.full((vertex_scores.shape[1], pixels), np.nan, np.float32)
    scores[:, surface.point_index] = vertex_scores.T
    seen = ~np.isnan(scores).any(axis=0)
    return scores.reshape(-1, *shape), seen.reshape(shape)


def _batches(views: Iterable[tuple[FaceView, Layers]], size: int) -> Iterator[list[tuple[FaceView, Layers]]]:
    batch: list[tuple[FaceView, Layers]] = []
    for view in views:
        batch.append(view)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
