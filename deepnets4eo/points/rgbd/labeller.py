"""SnapNet-R on a frame: its own image and views around it are labelled, and vote for its pixels.

Takes a run of the task `snapnet-r`; returns probabilities at the pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import options_from
from deepnets4eo.points.rgbd.frame import Frame, FrameSource, nearest_pixels
from deepnets4eo.points.rgbd.layouts import frame_classes
from deepnets4eo.points.rgbd.recipe import ResampledViewSection
from deepnets4eo.points.rgbd.resampling import Layers, own_layers, rendered_own_layers, resampled_views
from deepnets4eo.points.views import Surface, ray_caster
from deepnets4eo.points.views.camera import FaceView
from deepnets4eo.points.views.labeller import BATCH, ViewLabeller, grid_scores, open_view_run, predictor
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.tiling.scores import probabilities

TASK_NAME = "snapnet-r"


class FrameLabeller(ViewLabeller):
    """Labels RGB-D frames by the votes of resampled views.

    Parameters
    ----------
    segmenter : the segmenter of frames: its inputs are image, composite or both
    views : how many views vote (`test`), where their cameras stand, and what they show
    size_px : rows and columns that the network sees, as in training
    batch_size : views that are labelled at once

    Examples
    --------
    .. code-block:: python

        labeller = FrameLabeller.from_run("runs/snapnet-r")
        best = labeller.scores(frame).argmax(axis=0)
    """

    def __init__(
        self, segmenter: Segmenter, views: ResampledViewSection, size_px: tuple[int, int], *, batch_size: int = BATCH
    ) -> None:
        super().__init__(segmenter, batch_size=batch_size)
        self.views, self.size_px = views, size_px

    @classmethod
    def from_run(cls, run: str | Path | Run) -> FrameLabeller:
        """Return the labeller of a run of the task `snapnet-r` (a folder, or the run itself), its network on a GPU
        where there is one. Raises RunError for no run or another task."""
        loaded = open_view_run(run, TASK_NAME, "label RGB-D frames")
        recipe = loaded.recipe
        views = options_from(ResampledViewSection, recipe.get("views") or {}, str(loaded.folder))
        size_px = int(recipe["data"]["height_px"]), int(recipe["data"]["width_px"])
        return cls(loaded.segmenter, views, size_px)

    def scores(self, frame: Frame) -> FloatImage:
        """Return probabilities (K, h, w) float32 of the classes at the pixels of a frame, summing to 1 over K; pixels
        that no view shows, and those without depth, have the scores of its own image. Memory: about 500 bytes a pixel
        of the network's size, and one batch of views."""
        small = frame.resize(*self.size_px)
        surface = small.surface()
        make_own = rendered_own_layers if self.views.render_test else own_layers
        own = make_own(small, surface, self.views, self.segmenter.inputs.names)
        scores: FloatImage = self._predict(own)
        if self.views.test:
            votes = self.vertex_scores(surface, self._voting(small, surface, own), self.views.votes)
            voted, seen = grid_scores(surface, votes, small.shape)
            scores = np.where(seen, voted, scores)
        rows, columns = nearest_pixels(small.shape, frame.shape)
        return scores[:, rows, columns]

    def _predict(self, own: Layers) -> FloatImage:
        """(K, h, w) probabilities of the frame's own image."""
        scores = predictor(self.segmenter, self.views.votes)(self.segmenter.inputs.prepare(own)[None])
        return probabilities(scores, axis=1)[0] if self.views.votes == "logits" else scores[0]

    def _voting(self, frame: Frame, surface: Surface, own: Layers) -> Iterator[tuple[FaceView, Layers]]:
        """The frame's own image, with the faces that its camera sees, then the views around it."""
        view = ray_caster(surface).view(frame.camera)
        if view.seen.any():
            yield view, own
        yield from resampled_views(frame, surface, self.views, self.views.test)


def score_frames(
    labeller: FrameLabeller, frames: Iterable[FrameSource], *, unknown_is_void: bool = False
) -> dict[str, Any]:
    """Label frames, and count all their labelled pixels.

    Parameters
    ----------
    labeller : the labeller of the frames
    frames : with labels, read one at a time
    unknown_is_void : whether codes that the legend does not have are void

    Returns
    -------
    All scores, fractions; NaN where nothing was counted.

    Raises
    ------
    InputError
        Frames without labels, or with codes that the legend does not have.
    """
    legend = labeller.legend
    matrix = ConfusionMatrix(legend.num_classes)
    for source in frames:
        frame = source.read()
        reference = frame_classes(frame, legend, unknown_is_void=unknown_is_void)
        matrix.update(reference, labeller.scores(frame).argmax(axis=0))
    return report.scores(matrix, legend.names) | {"legend": legend.name}
