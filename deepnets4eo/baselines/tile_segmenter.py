"""What all baselines share: probabilities tile by tile on one thread, and the scores derived from them.

A baseline says how it labels one prepared image; batches, margins, raw scores and threads are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.bands import Bands, band_names, restored
from deepnets4eo.device import Compute
from deepnets4eo.inputs import InputSpec
from deepnets4eo.lattice import Tiling
from deepnets4eo.lattice.scores import best
from deepnets4eo.legend import Legend
from deepnets4eo.segmenter import Batch

Image = NDArray[np.float32]


class TileSegmenter:
    """A `Segmenter` for subclasses that implement `label(image, margin_px)`, `describe`, `save` and `restore`.

    bands : layer → names, for files whose bands have none (see `baselines.bands.band_names`).
    """

    kind = ""

    def __init__(
        self,
        inputs: InputSpec,
        legend: Legend,
        *,
        bands: Mapping[str, Sequence[str]] | None = None,
        tiling: Tiling,
    ) -> None:
        self.inputs, self.legend, self.tiling = inputs, legend, tiling
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(inputs, self.bands)
        self.threads = 1

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""
        return self.tiling.halo_px

    def label(self, image: Image, margin_px: int) -> Image:
        """Probabilities (K, h − 2 margin, w − 2 margin) float32 of one prepared image (C, h, w)."""
        raise TypeError(f"{type(self).__name__} does not say how it labels an image")

    def in_own_units(self, image: Image) -> Bands:
        """A prepared image as bands in their own units."""
        return restored(image, self.inputs, self.band_names)

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> Image:
        """Log-probabilities, (N, K, h, w) float32."""
        smallest = np.finfo(np.float32).tiny
        return np.log(np.maximum(self.predict_proba(batch, margin_px=margin_px), smallest))

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> Image:
        """Probabilities, (N, K, h, w) float32; 0 for classes that training did not show."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # matrix products, too, change their last bits with the number of threads
            return np.stack([self.label(image, margin_px) for image in batch])

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.uint8]:
        """Places in the legend of the best scores, (N, h, w) uint8."""
        return np.stack([best(image) for image in self.predict_proba(batch, margin_px=margin_px)])

    def to(self, compute: Compute) -> None:
        """Baselines stay where they are; those that can, use the threads on parts that do not depend on them."""
        self.threads = compute.threads

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again; subclasses add theirs."""
        return {"bands": self.bands}
