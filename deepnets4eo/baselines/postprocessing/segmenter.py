"""Any segmenter with post-processing behind it is a segmenter again: predicted, saved and scored as the one inside.

Takes a segmenter (a network, too) and a list of steps; refuses steps that do not suit its inputs, naming them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.postprocessing.steps import build_steps, listed_steps
from deepnets4eo.cards.legend import Legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.nested import describe_nested, restore_nested, with_wider_halo
from deepnets4eo.segmenters.segmenter import Batch, ProbabilitySegmenter, Segmenter
from deepnets4eo.tiling import Tiling

Image = NDArray[np.float32]

TRIAL_PX = 8  # side of the image on which steps are tried beforehand


class PostProcessed(ProbabilitySegmenter):
    """Probabilities of a segmenter after steps in their order: majority, minimum_area, superpixel_vote, crf.

    steps : [{name: settings}, …], see `steps.STEPS`. bands : layer → names, for files whose bands have none.
    tiling : by default that of the segmenter with a halo that is wider by what the steps look around, the core
    (what is kept of a tile) staying as large.
    Errors: InputError naming the step that is unknown, or that the inputs do not suit.

    Each tile is processed by itself. Majority and CRF give the same bits however a scene is tiled; superpixels are
    those of the tile, and regions for `minimum_area` are followed for 64 pixels beyond what is kept of it.
    """

    kind = "post-processed"

    def __init__(
        self,
        segmenter: Segmenter,
        steps: Sequence[Mapping[str, Any] | str],
        bands: Mapping[str, Sequence[str]] | None = None,
        *,
        tiling: Tiling | None = None,
    ) -> None:
        self.segmenter, self.steps = segmenter, build_steps(steps)
        self.inputs, self.legend = segmenter.inputs, segmenter.legend
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(self.inputs, self.bands)
        self._try_steps()
        self.reach_px = sum(step.halo_px(self.inputs.gsd_m) for step in self.steps)
        self.tiling = with_wider_halo(segmenter.tiling, segmenter.halo_px + self.reach_px) if tiling is None else tiling

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> Image:
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

    def to(self, compute: Compute) -> None:
        """The segmenter inside goes; the steps stay on the CPU."""
        self.segmenter.to(compute)

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again, those of the one inside nested."""
        return {"inner": describe_nested(self.segmenter), "steps": listed_steps(self.steps), "bands": self.bands}

    def save(self, folder: str | Path) -> list[str]:
        """Write the learned state of the segmenter inside; returns the names of its files."""
        return self.segmenter.save(folder)

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> PostProcessed:
        """The segmenter that `save` wrote. Errors: RunError where the one inside cannot be rebuilt."""
        segmenter = restore_nested(folder, description["inner"], inputs, legend)
        return cls(segmenter, description["steps"], description["bands"], tiling=tiling)

    def _processed(self, proba: Image, bands: Bands) -> Image:
        for step in self.steps:
            proba = step.apply(proba, bands)
        return proba

    def _try_steps(self) -> None:
        """Find out before long work starts whether the inputs have what the steps need."""
        nothing = np.zeros((self.inputs.in_channels, TRIAL_PX, TRIAL_PX), np.float32)
        bands = unstandardise(nothing, self.inputs, self.band_names)
        even = np.full((self.legend.num_classes, TRIAL_PX, TRIAL_PX), 1 / self.legend.num_classes, np.float32)
        for number, (step, listed) in enumerate(zip(self.steps, listed_steps(self.steps), strict=True), start=1):
            try:
                step.halo_px(self.inputs.gsd_m)
                step.apply(even, bands)
            except InputError as error:
                raise InputError(f"step {number} ({next(iter(listed))}): {error}") from error
