"""Heights: above ground, slope, normals, their variation around a pixel, and the benchmark's "HSV+Dgrad".

Above an estimated ground only objects narrower than `GROUND_PX` are correct: make an nDSM for larger buildings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo import terrain
from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.colour import HISTOGRAM_RADIUS_PX, HsvHistogram
from deepnets4eo.baselines.features.feature import DenseFeature, at_sites
from deepnets4eo.rasters import moving_moments

GROUND_PX = 57  # larger objects count as ground; with the squares around, the halo is 64
RADII_PX = (2, 8)
STATISTICS = ("mean", "lowest", "highest", "deviation", "range")


def surface(bands: Bands) -> FloatImage:
    """Return the upper surface in metres, (h, w): `height`, else `ndsm`. Errors: InputError where neither exists."""
    return bands.pick("ndsm" if bands.has("ndsm") and not bands.has("height") else "height")[0]


def above_ground(bands: Bands, ground_px: int = GROUND_PX) -> FloatImage:
    """Return height above ground in metres, (h, w): `ndsm`, `height` less `ground`, or `height` less its opening.

    The opening takes a square of odd side `ground_px`. Raises InputError if no band is a height.
    """
    if bands.has("ndsm"):
        return bands.pick("ndsm")[0]
    height = bands.pick("height")[0]
    if bands.has("ground"):
        return height - bands.pick("ground")[0]
    lowest = ndimage.minimum_filter(height, ground_px, mode="nearest")
    return height - ndimage.maximum_filter(lowest, ground_px, mode="nearest")


def gradient(bands: Bands) -> FloatImage:
    """Return the rise of the surface per metre along columns (to the right) and along rows (down), (2, h, w)."""
    return terrain.surface_gradient(surface(bands), _sides_m(bands))


def normals(bands: Bands) -> FloatImage:
    """Return unit vectors perpendicular to the surface: to the right, down the image, up; (3, h, w)."""
    right, down = gradient(bands)
    vectors = np.stack([-right, -down, np.ones_like(right)])
    return vectors / np.linalg.norm(vectors, axis=0)


def slope_deg(bands: Bands) -> FloatImage:
    """Return the slope of the surface in degrees, 0–90, (h, w); without a ground size a pixel counts as one metre."""
    return terrain.slope_deg(surface(bands), _sides_m(bands))


@dataclass(frozen=True)
class HeightFeature:
    """Height above ground (m), slope (°), normals, and statistics of heights in squares of half sides `radii_px`. For
    superpixels: means, and the statistics inside. ground_px : see `above_ground`."""

    name: str = "height"
    ground_px: int = GROUND_PX
    radii_px: tuple[int, ...] = RADII_PX

    @property
    def halo_px(self) -> int:
        """The opening and the largest square around it."""
        return self.ground_px - 1 + max(self.radii_px)

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        surface(bands)
        sides = [2 * radius + 1 for radius in self.radii_px]
        return [*_POINTWISE, *(f"{kind}{side}" for side in sides for kind in STATISTICS)]

    def pooled_columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns of superpixels."""
        surface(bands)
        return [*_POINTWISE, "lowest", "highest", "deviation", "range"]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, h, w) float32."""
        above = above_ground(bands, self.ground_px)
        parts = [_pointwise(bands, above)]
        parts += [spread(above, radius) for radius in self.radii_px]
        return np.concatenate([at_sites(part, stride_px) for part in parts])

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Return values of superpixels, (count, 9) float32; 0 where a superpixel has no pixels."""
        from deepnets4eo.baselines.superpixels import region_deviations, region_means, region_ranges

        above = above_ground(bands, self.ground_px)
        means = region_means(_pointwise(bands, above), ids, count)
        lowest, highest = region_ranges(above[None], ids, count)
        deviation = region_deviations(above[None] - above.mean(), ids, count)
        columns = np.concatenate([means, lowest, highest, deviation, highest - lowest], axis=1)
        return np.nan_to_num(columns).astype(np.float32)


def spread(values: FloatImage, radius_px: int) -> FloatImage:
    """Return mean, lowest, highest, standard deviation and range in a square, (5, h, w)."""
    side = 2 * radius_px + 1
    # about the mean: float32 squares of metres above sea level are too coarse for the differences
    level = values.mean(dtype=np.float32)
    mean, deviation = moving_moments(values - level, side, mode="nearest")
    lowest, highest = ndimage.minimum_filter(values, side), ndimage.maximum_filter(values, side)
    return np.stack([mean + level, lowest, highest, deviation, highest - lowest])


_POINTWISE = ("above_ground", "slope", "normal_right", "normal_down", "normal_up")


def _pointwise(bands: Bands, above: FloatImage) -> FloatImage:
    return np.concatenate([above[None], slope_deg(bands)[None], normals(bands)])


def _sides_m(bands: Bands) -> tuple[float, float]:
    side_m = bands.gsd_m or 1.0
    return side_m, side_m


def _normal_names(bands: Bands) -> list[str]:
    surface(bands)
    return list(_POINTWISE[2:])


HEIGHT = HeightFeature()
NORMALS = DenseFeature("normals", 1, _normal_names, normals)


@dataclass(frozen=True)
class HsvHeightGradient:
    """The columns of `hsv_histogram`, mean height (m) and mean rise of the surface (m per m), over a square or
    superpixel.

    Source: Lagrange et al., IGARSS 2015, who use it on superpixels with a linear SVM.
    """

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
        means = [ndimage.uniform_filter(plane, side, mode="nearest") for plane in _relief(bands)]
        return np.concatenate([self._histogram.compute(bands, stride_px), at_sites(np.stack(means), stride_px)])

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Return values of superpixels, (count, 34) float32; 0 where a superpixel has no pixels."""
        from deepnets4eo.baselines.superpixels import region_means

        means = np.nan_to_num(region_means(_relief(bands), ids, count))
        return np.concatenate([self._histogram.pool(bands, ids, count), means], axis=1).astype(np.float32)

    @property
    def _histogram(self) -> HsvHistogram:
        return HsvHistogram(radius_px=self.radius_px)


def _relief(bands: Bands) -> FloatImage:
    """Return height and magnitude of its gradient, (2, h, w)."""
    return np.stack([surface(bands), np.hypot(*gradient(bands))])


HSVDGR = HsvHeightGradient()
