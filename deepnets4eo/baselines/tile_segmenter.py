"""The common base of all baselines: probabilities tile by tile on one thread, and the scores derived from them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.segmenters import InputSpec, ProbabilitySegmenter
from deepnets4eo.tiling import Tiling

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class TileSegmenter(ProbabilitySegmenter):
    """A `Segmenter` for subclasses that implement `label(image, margin_px)`, `describe`, `save` and `restore`. bands :
    layer → names, for files whose bands have none (see `baselines.bands.band_names`)."""

    kind = ""
    only_float32 = True  # whatever precision is chosen
    any_tile = False  # whether scores of a pixel follow from the halo around it, whatever the tile that it lies in

    def __init__(
        self, inputs: InputSpec, legend: Legend, *, bands: Mapping[str, Sequence[str]] | None = None, tiling: Tiling
    ) -> None:
        self.inputs, self.legend, self.tiling = inputs, legend, tiling
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(inputs, self.bands)
        self.threads = 1

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Return probabilities (K, h − 2 margin, w − 2 margin) float32 of one prepared image (C, h, w)."""
        raise TypeError(f"{type(self).__name__} does not implement label")

    def to_physical_units(self, image: FloatImage) -> Bands:
        """Return a prepared image as bands in their own units."""
        return unstandardise(image, self.inputs, self.band_names)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return probabilities, (N, K, h, w) float32; 0 for classes without training samples."""
        with _thread_pools(len(sys.modules)).limit(
            limits=1
        ):  # matrix products, too, change their last bits with threads
            return np.stack([self.label(image, margin_px) for image in batch])

    def to(self, compute: Compute) -> None:
        """Take the number of threads; baselines always run on the CPU."""
        self.threads = compute.threads

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same segmenter; subclasses add their own values."""
        return {"bands": self.bands}


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    """Return the libraries with their own threads. Finding them takes 10 ms: again only when `modules` were imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
