"""The benchmark's "HSV+Dgrad": histogram of hue, saturation and value, mean height, and mean gradient of the heights.

Takes three colours and a height in metres; raises InputError where one is missing. The estimator does the scaling.
Source: Lagrange et al., IGARSS 2015, who use it on superpixels with a linear SVM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.colour import HISTOGRAM_RADIUS_PX, HsvHistogram
from deepnets4eo.baselines.features.feature import at_sites
from deepnets4eo.baselines.features.height import gradient, surface


@dataclass(frozen=True)
class HsvHeightGradient:
    """Columns: those of `hsv_histogram`, mean height (m), mean rise of the surface (m per m), over a square or superpixel."""

    name: str = "hsvdgr"
    radius_px: int = HISTOGRAM_RADIUS_PX

    @property
    def halo_px(self) -> int:
        """The square, and one pixel for the gradient."""
        return self.radius_px + 1

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the 34 columns."""
        surface(bands)
        return [*self._histogram.columns(bands), "height", "gradient"]

    def pooled_columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns of superpixels, which are the same."""
        return self.columns(bands)

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (34, h, w) float32."""
        side = 2 * self.radius_px + 1
        means = [ndimage.uniform_filter(one, side, mode="nearest") for one in _relief(bands)]
        return np.concatenate([self._histogram.compute(bands, stride_px), at_sites(np.stack(means), stride_px)])

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Return values of superpixels, (count, 34) float32; 0 where a superpixel has no pixels."""
        from deepnets4eo.baselines.superpixels.statistics import region_means

        means = np.nan_to_num(region_means(_relief(bands), ids, count))
        return np.concatenate([self._histogram.pool(bands, ids, count), means], axis=1).astype(np.float32)

    @property
    def _histogram(self) -> HsvHistogram:
        return HsvHistogram(radius_px=self.radius_px)


def _relief(bands: Bands) -> FloatImage:
    """Return height and magnitude of its gradient, (2, h, w)."""
    return np.stack([surface(bands), np.hypot(*gradient(bands))])


HSVDGR = HsvHeightGradient()
