"""Any segmenter with post-processing behind it is a segmenter again: predicted, saved and scored as the one inside.

Takes a segmenter (a network, too) and a list of steps; refuses steps that do not suit its inputs, naming them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.postprocessing.steps import build_steps, listed_steps
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter
from deepnets4eo.tiling import Tiling

TRIAL_PX = 8  # side of the image on which steps are tried beforehand


class PostProcessed(WrappedSegmenter):
    """Probabilities of a segmenter after steps in their order: majority, minimum_area, superpixel_vote, crf.

    steps : [{name: settings}, …], see `steps.STEPS`. bands : layer → names, for files whose bands have none.
    tiling : by default that of the segmenter with a halo that is wider by what the steps look around, the core
    (what is kept of a tile) staying as large.
    Errors: InputError naming the step that is unknown, or that the inputs do not suit.

    Each tile is processed by itself. Majority and CRF give the same bits however a scene is tiled; superpixels are
    those of the tile, and regions for `minimum_area` are followed for 64 pixels beyond what is kept of it.
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
        self.steps = listed_steps(self._steps)
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(segmenter.inputs, self.bands)
        self.reach_px = self._try_steps(segmenter)
        super().__init__([segmenter], segmenter.halo_px + self.reach_px, tiling)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        inner_px = max(margin_px - self.reach_px, 0)  # what the steps look at stays until they are done
        found = self.segmenter.predict_proba(batch, margin_px=inner_px)
        height, width = found.shape[2:]
        rows, cols = Window(inner_px, inner_px, height, width).slices
        cut_px = margin_px - inner_px
        done = []
        for proba, image in zip(found, batch, strict=True):
            bands = unstandardise(image[:, rows, cols], self.inputs, self.band_names)
            done.append(self._processed(proba, bands)[:, cut_px : height - cut_px, cut_px : width - cut_px])
        return np.stack(done)

    def _processed(self, proba: FloatImage, bands: Bands) -> FloatImage:
        for step in self._steps:
            proba = step.apply(proba, bands)
        return proba

    def _try_steps(self, segmenter: Segmenter) -> int:
        """Refuse inputs that lack what a step needs before long work starts; returns what all steps look around, px."""
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
