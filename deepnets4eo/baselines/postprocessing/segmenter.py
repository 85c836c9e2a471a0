"""A segmenter with post-processing: predicted, saved and scored as the segmenter inside.

Takes a segmenter (also a network) and a list of steps; raises InputError for steps that its inputs do not suit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage, Mask
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.postprocessing.steps import build_steps, plain_steps
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter
from deepnets4eo.tiling import Tiling

TRIAL_PX = 8  # side of the image on which steps are tried beforehand


class PostProcessed(WrappedSegmenter):
    """Probabilities of a segmenter after steps in their order: majority, minimum_area, superpixel_vote, crf.

    Parameters
    ----------
    segmenter
        What is post-processed.
    steps
        [{name: settings}, …], see `steps.STEPS`.
    bands
        Layer → names of its bands, for files without names.
    tiling
        By default that of the segmenter with a halo that is wider by the reach of the steps; the core (the part of a tile
        that is kept) stays as large.

    Raises
    ------
    InputError
        Naming the step that is unknown, or that the inputs do not suit.

    Notes
    -----
    Each tile is processed by itself. Majority and CRF have the same bits however a scene is tiled; superpixels are
    those of the tile, and regions for `minimum_area` are followed for 64 pixels beyond the core.

    Examples
    --------
    ::

        smooth = PostProcessed(load_run("run").segmenter, [{"majority": {"radius_px": 3}}, "crf"])
    """

    kind = "post-processed"
    saved_arguments = ("steps", "bands")

    def __init__(
        self,
        segmenter: Segmenter,
        steps: Sequence[Mapping[str, Any] | str],
        bands: Mapping[str, Sequence[str]] | None = None,
        *,
        tiling: Tiling | None = None,
    ) -> None:
        self._steps = build_steps(steps)
        self.steps = plain_steps(self._steps)
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(segmenter.inputs, self.bands)
        self.reach_px = self._check_steps(segmenter)
        super().__init__([segmenter], segmenter.halo_px + self.reach_px, tiling)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return probabilities, (N, K, h, w) float32, summing to 1 over K."""
        inner_px = max(margin_px - self.reach_px, 0)  # pixels that the steps use stay until they are done
        probabilities = self.segmenter.predict_proba(batch, margin_px=inner_px)
        height, width = probabilities.shape[2:]
        rows, cols = Window(inner_px, inner_px, height, width).slices
        cut_px = margin_px - inner_px
        done = []
        for proba, image in zip(probabilities, batch, strict=True):
            bands = unstandardise(image[:, rows, cols], self.inputs, self.band_names)
            smooth = self._apply_steps(proba, bands, self._known(image[:, rows, cols]))
            done.append(smooth[:, cut_px : height - cut_px, cut_px : width - cut_px])
        return np.stack(done)

    def _apply_steps(self, proba: FloatImage, bands: Bands, known: Mask) -> FloatImage:
        """Probabilities after all steps; pixels without data have no vote in them, and keep theirs."""
        result = np.where(known, proba, np.float32(np.nan))
        for step in self._steps:
            result = step.apply(result, bands)
        return np.where(known, result, proba)

    def _known(self, image: FloatImage) -> Mask:
        """(h, w) where an image has data: what has none is the mean, 0, in every band. Black counts as data where the mean is 0."""
        if not any(mean for layer in self.inputs.layers.values() for mean in layer.mean):
            return np.ones(image.shape[1:], bool)
        return np.asarray((image != 0).any(axis=0))

    def _check_steps(self, segmenter: Segmenter) -> int:
        """Check before long work starts that the inputs have what the steps need; returns the pixels around that they use."""
        inputs, num_classes, reach_px = segmenter.inputs, segmenter.legend.num_classes, 0
        nothing = np.zeros((inputs.in_channels, TRIAL_PX, TRIAL_PX), np.float32)
        bands = unstandardise(nothing, inputs, self.band_names)
        even = np.full((num_classes, TRIAL_PX, TRIAL_PX), 1 / num_classes, np.float32)
        for number, (step, listed) in enumerate(zip(self._steps, self.steps, strict=True), start=1):
            try:
                reach_px += step.halo_px(inputs.gsd_m)
                step.apply(even, bands)
            except InputError as error:
                raise InputError(f"step {number} ({next(iter(listed))}): {error}") from error
        return reach_px
