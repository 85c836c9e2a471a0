"""Cells of many footprints at once: sums and means per building, cells around it, roughness; and volumes of debris by formula.

Arrays in, arrays out; buildings are numbered as the outlines are.

The rule of thumb: FEMA 329, Debris Estimating Field Guide (2010): a building leaves 33 % of its enclosed volume, the rest was air;
reviews find 30 to 50 % uncertainty, whence the range 0.25 to 0.40. Volumes are bulk volumes, air between pieces included.
Errors: Rolstad et al. (2009), doi:10.3189/002214309789470950: an area in which errors of heights are alike counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.grid import Grid, whole
from deepnets4eo.terrain.ground_filter import without_gaps
from deepnets4eo.zonal import Outlines

LOW, MID, HIGH = 0.25, 0.33, 0.40
SPHERICAL = 5.0  # a spherical correlation of range L acts over an area of pi L² / 5
NORMAL_95 = 1.96

LEAST_BESIDE = 3  # known cells around one without points, from which it takes their mean
WINDOW_PX = 5  # side of the square in which a plane is fitted


@dataclass(frozen=True)
class BuildingCells:
    """Pairs (P,) of a building (`owner`) and a cell whose centre it encloses (`flat`, row · width + col), for `count`
    buildings."""

    owner: NDArray[np.int64]
    flat: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, outlines: NDArray[Any], grid: Grid) -> BuildingCells:
        """Cells of N outlines in the grid's CRS."""
        painted = Outlines.on(outlines, grid)
        window = whole(grid)
        index = painted.touching(window)
        owner, flat = painted.pixels(window, index)
        return cls(index[owner], flat, len(outlines))

    def of_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """(P,) values of an (h, w) image."""
        return image.reshape(-1)[self.flat]

    def of_heights(self, image: FloatImage) -> FloatImage:
        """(P,) values of an (h, w) image; cells without points take the mean of the plan's cells beside them, at least 3."""
        from scipy.ndimage import convolve

        inside = np.zeros(image.shape, bool)
        inside.reshape(-1)[self.flat] = True
        known = inside & np.isfinite(image)
        around = np.ones((3, 3), np.float32)
        number = convolve(known.astype(np.float32), around, mode="constant")
        total = convolve(np.where(known, image, 0).astype(np.float32), around, mode="constant")
        filled = np.where(~known & (number >= LEAST_BESIDE), total / np.maximum(number, 1), image)
        return np.asarray(self.of_image(filled))

    def total(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) sums of (P,) values, NaN left out."""
        known = np.nan_to_num(np.asarray(values, float))
        return np.bincount(self.owner, weights=known, minlength=self.count).astype(np.float64)

    def mean(self, values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N,) means of (P,) values where known; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total(np.where(known, values, 0)) / self.total(known)

    def mean_of_parts(
        self, values: NDArray[Any], known: NDArray[np.bool_], inner: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return (N,) means of known values (P,), of which the inner part and the edge of a plan count by their cells:
        a scan from the street sees more of the edge than of the roof. A part without known cells takes the mean of
        the other; NaN where neither has any."""
        plain = self.mean(values, known)
        means = [self.mean(values, known & part) for part in (inner, ~inner)]
        means = [np.where(np.isfinite(part), part, plain) for part in means]
        share = self.mean(inner, np.ones(len(inner), bool))
        return share * means[0] + (1 - share) * means[1]

    def quantile(self, values: NDArray[Any], share: float) -> NDArray[np.float64]:
        """(N,) quantile of the known (P,) values of each building, NaN where there is none."""
        known = np.isfinite(values)
        owner, value = self.owner[known], np.asarray(values, float)[known]
        order = np.lexsort((value, owner))
        number = np.bincount(owner, minlength=self.count)
        first = np.cumsum(number) - number
        position = first + np.floor(np.maximum(number - 1, 0) * share).astype(np.int64)
        out = np.full(self.count, np.nan)
        some = number > 0
        out[some] = value[order][position[some]]
        return out


def shrink(outlines: NDArray[Any], by_m: float) -> NDArray[Any]:
    """Outlines without their outer margin, where walls and roof edges are; narrow ones keep at least half of it."""
    shrunk = shapely.buffer(outlines, -by_m, join_style="mitre")
    half = shapely.buffer(outlines, -by_m / 2, join_style="mitre")
    shrunk = np.where(shapely.is_empty(shrunk), half, shrunk)
    return np.where(shapely.is_empty(shrunk), outlines, shrunk)


def nearest_building(cells: BuildingCells, shape: tuple[int, int]) -> tuple[NDArray[np.int64], FloatImage]:
    """(h, w) number of the nearest building, −1 without any, and the distance to it in cells, 0 inside."""
    from scipy.ndimage import distance_transform_edt

    painted = np.full(shape, -1, np.int64)
    painted.reshape(-1)[cells.flat] = cells.owner
    if not len(cells.flat):
        return painted, np.full(shape, np.inf, np.float32)
    distance, (row, col) = distance_transform_edt(painted < 0, return_indices=True)
    return painted[row, col], distance.astype(np.float32)


def roughness(heights: FloatImage, window_px: int = WINDOW_PX) -> FloatImage:
    """Return the standard deviation (h, w) in metres of heights about the plane that fits best in a square of
    `window_px` around each cell; gaps are filled smoothly first.

    >>> rows, cols = np.mgrid[:9, :9]
    >>> float(roughness((0.5 * rows + 0.2 * cols).astype(np.float32))[4, 4].round(3))
    0.0
    """
    from scipy.ndimage import correlate1d, uniform_filter

    z = without_gaps(heights, np.isfinite(heights)).astype(np.float64)
    z -= z.mean()
    step = np.arange(window_px) - window_px // 2
    spread = float((step**2).mean())
    mean = uniform_filter(z, window_px, mode="nearest")
    variance = uniform_filter(z * z, window_px, mode="nearest") - mean**2
    even, ramp = np.full(window_px, 1 / window_px), step / window_px
    for axis in (0, 1):
        along = correlate1d(correlate1d(z, ramp, axis=axis, mode="nearest"), even, axis=1 - axis, mode="nearest")
        variance -= along**2 / spread
    return np.sqrt(np.maximum(variance, 0)).astype(np.float32)


class VolumeRange(NamedTuple):
    """The least, the likely and the greatest volume, (N,) m³ each."""

    low: NDArray[np.float64]
    mid: NDArray[np.float64]
    high: NDArray[np.float64]


def rule_of_thumb(area_m2: ArrayLike, height_m: ArrayLike, destroyed_share: ArrayLike = 1.0) -> VolumeRange:
    """Estimate the debris of buildings that have come down: 0.33 · area · mean height before the event · destroyed
    share, between 0.25 and 0.40 of it.

    >>> rule_of_thumb(100, 6).mid.round(1).item()
    198.0
    """
    enclosed = np.asarray(area_m2, float) * np.maximum(np.asarray(height_m, float), 0) * np.asarray(destroyed_share)
    return VolumeRange(LOW * enclosed, MID * enclosed, HIGH * enclosed)


def volume_sigma(cells: ArrayLike, cell_area_m2: float, sigma_m: float, correlation_m: float) -> NDArray[np.float64]:
    """Return the standard error (N,) in m³ of sums over n cells whose errors are alike within `correlation_m` (L): cell
    area · sigma · sqrt(n · n_corr) with n_corr = pi L² / (5 · cell area), at least 1 and at most n.

    >>> volume_sigma(400, 0.25, 0.1, 0).item()  # independent cells
    0.5
    """
    number = np.asarray(cells, float)
    together = max(np.pi * correlation_m**2 / (SPHERICAL * cell_area_m2), 1.0)
    return cell_area_m2 * sigma_m * np.sqrt(number * np.minimum(together, np.maximum(number, 1.0)))


def nmad(values: ArrayLike) -> float:
    """Return the spread of values that outliers do not change: 1.4826 · median of the distances from the median; NaN
    are left out.

    >>> nmad([0.0, 1.0, 2.0, 3.0, 1000.0])
    1.4826
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(1.4826 * np.median(np.abs(known - np.median(known)))) if len(known) else float("nan")
