"""SnapNet-R on a frame: its own image and views around its camera, which agree with it in 3D, are labelled, and vote for its pixels.

Labels and colours of views are looked up by the ids of faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import options_from
from deepnets4eo.points.rgbd.frame import Frame, FrameSource, nearest_pixels
from deepnets4eo.points.rgbd.layouts import frame_classes
from deepnets4eo.points.rgbd.recipe import ResampledViewSection
from deepnets4eo.points.views import Camera, Views
from deepnets4eo.points.views.camera import FaceView
from deepnets4eo.points.views.labeller import ViewLabeller
from deepnets4eo.points.views.snapshots import ViewLayer
from deepnets4eo.segmenters import Run, Segmenter
from deepnets4eo.tiling import probabilities
from deepnets4eo.training import without_left

TASK_NAME = "snapnet-r"
VALID = "valid"
GEOMETRY = 2  # bands of the composite that are looked up at vertices: verticality and noise

Layers = dict[str, NDArray[Any]]


class FrameLabeller(ViewLabeller):
    """Labeller of RGB-D frames by the votes of resampled views.

    Parameters
    ----------
    segmenter : the segmenter of frames: its inputs are image, composite or both
    views : the number of views that vote (`test`), the positions of their cameras, and what they show
    size_px : rows and columns of the network's input, as in training
    batch_size : number of views that are labelled at once
    """

    def __init__(
        self,
        segmenter: Segmenter,
        views: ResampledViewSection,
        size_px: tuple[int, int],
        *,
        batch_size: int = ViewLabeller.at_once,
    ) -> None:
        super().__init__(segmenter, batch_size=batch_size)
        self.views, self.size_px = views, size_px

    @classmethod
    def from_run(cls, run: str | Path | Run) -> FrameLabeller:
        """Return the labeller of a run of the task `snapnet-r`. Raises RunError for no run or another task."""
        loaded = cls.open_run(run, TASK_NAME, "label RGB-D frames")
        recipe = without_left(loaded.recipe)
        views = options_from(ResampledViewSection, recipe.get("views") or {}, str(loaded.folder))
        size_px = int(recipe["data"]["height_px"]), int(recipe["data"]["width_px"])
        return cls(loaded.segmenter, views, size_px)

    def scores(self, frame: Frame) -> FloatImage:
        """Return probabilities (K, h, w) float32 at the pixels of a frame. Pixels that no view shows have the scores of
        the frame's own image.

        Memory: about 500 bytes a pixel of the network's size, and a batch of views.
        """
        small = frame.resize(*self.size_px)
        of_frame = small.views()
        make_own = rendered_own_layers if self.views.render_test else own_layers
        own = make_own(small, of_frame, self.segmenter.inputs.names)
        scores: FloatImage = self._predict(own)
        if self.views.test:
            views = self._voting(small, of_frame, own)
            voted, seen = self.grid_scores(of_frame.surface, views, self.views.votes, small.shape)
            scores = np.where(seen, voted, scores)
        rows, columns = nearest_pixels(small.shape, frame.shape)
        return scores[:, rows, columns]

    def _predict(self, own: Layers) -> FloatImage:
        """Return (K, h, w) probabilities of the frame's own image."""
        scores = self.view_scores(own, self.views.votes)
        return probabilities(scores[None], axis=1)[0] if self.views.votes == "logits" else scores

    def _voting(self, frame: Frame, of_frame: Views, own: Layers) -> Iterator[tuple[FaceView, Layers]]:
        """Yield the frame's own image with the faces that its camera sees, then the views around it."""
        view = of_frame.see(frame.camera)
        if view.seen.any():
            yield view, own
        yield from resampled_views(frame, of_frame, self.views, self.views.test)


def score_frames(
    labeller: FrameLabeller, frames: Iterable[FrameSource], *, unknown_is_void: bool = False
) -> dict[str, Any]:
    """Label frames and score all their labelled pixels.

    Parameters
    ----------
    labeller : the labeller of the frames
    frames : frames with labels, read one at a time
    unknown_is_void : whether codes that are not in the legend count as void

    Returns
    -------
    All scores, as fractions; NaN if nothing was counted.

    Raises
    ------
    InputError
        Frames have no labels, or codes that are not in the legend.
    """
    legend = labeller.legend
    matrix = ConfusionMatrix(legend.num_classes)
    for source in frames:
        frame = source.read()
        reference = frame_classes(frame, legend, unknown_is_void=unknown_is_void)
        matrix.update(reference, labeller.scores(frame).argmax(axis=0))
    return report.scores(matrix, legend.names) | {"legend": legend.name}


def place_views(frame: Frame, views: ResampledViewSection, count: int, *, seed: int = 0) -> list[Camera]:
    """Return `count` cameras around the camera of a frame; `seed` makes the random draws differ between frames."""
    return Camera.near(
        frame.camera, count, seed=views.seed + seed, pivot_m=frame.pivot_m, turn_deg=views.turn_deg, shift=views.shift
    )


def own_layers(frame: Frame, of_frame: Views, names: Sequence[str]) -> Layers:
    """Return the layers of a frame that the network receives: "image" and "composite" (3, h, w) uint8, and "valid" (h, w).

    For a labelled frame "labels" is included, with the labels of pixels without depth. A network without colours receives nothing in
    holes.
    """
    surface = of_frame.surface
    composite = np.zeros((3, *frame.shape), np.uint8)
    flat = composite.reshape(3, -1)
    for band, share in zip(range(GEOMETRY), (surface.verticality, surface.noise), strict=True):
        flat[band, surface.point_index] = np.rint(np.clip(share, 0, 1) * 255)
    composite[GEOMETRY] = Views.depth_band(frame.depth_m, frame.known, frame.camera)
    valid = np.ones(frame.shape, bool) if ViewLayer.colour in names else frame.known
    layers: Layers = {ViewLayer.colour: frame.colour, ViewLayer.composite: composite, VALID: valid}
    return layers if frame.labels is None else layers | {ViewLayer.labels: frame.labels}


def resampled_views(
    frame: Frame, of_frame: Views, views: ResampledViewSection, count: int, *, seed: int = 0
) -> Iterator[tuple[FaceView, Layers]]:
    """Yield the faces and layers (as in `own_layers`) of `count` views around the camera of a frame; holes are not
    valid, and their labels are void."""
    yield from of_frame.render(place_views(frame, views, count, seed=seed))


def rendered_own_layers(frame: Frame, of_frame: Views, names: Sequence[str]) -> Layers:
    """Return the layers of a frame's surface as its own camera sees it, rendered like the surrounding views.

    This is the published preprocessing. If the camera sees no face, return the layers of `own_layers`.
    """
    rendered = next(of_frame.render([frame.camera]), None)
    return own_layers(frame, of_frame, names) if rendered is None else rendered[1]
