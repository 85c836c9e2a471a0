"""The 95 % intervals of volumes: errors of heights and outlines, and what the heights show that may be counted wrongly.

Doubtful volumes are measured on each building, not assumed: at edges a scan hits the roof at one date and the ground at the
other; roofs reach beyond mapped outlines; heights do not separate heaps from walls between them, nor flat litter from slabs; where
a roof was not seen, as from the street, all of it may have come down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.points.rubble.cells import BuildingCells, roughness
from deepnets4eo.points.rubble.debris_rule import NORMAL_95, volume_sigma
from deepnets4eo.points.rubble.options import RubbleOptions
from deepnets4eo.points.rubble.plans import BUILT_MARGIN_M, MARGIN_M, BlockInputs, Plan, sigma_m
from deepnets4eo.points.rubble.surfaces import WALL_M

OUTLINE_M = 0.2  # standard error of the position of an outline's side, after it was laid on the heights
TERRAIN_ERROR = 2.0  # heights above an interpolated terrain have about twice the error of differences of heights


@dataclass(frozen=True)
class Doubt:
    """Volumes (N,) m³: what was counted, but may not belong to it (`less`), and what may, but was not counted (`more`)."""

    less: NDArray[np.float64]
    more: NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A volume of each building (N,) m³, of how many cells, the factor of its error of heights, and what is doubtful."""

    volume: NDArray[np.float64]
    cells: NDArray[np.float64]
    factor: float
    doubt: Doubt


def interval(
    name: str, measured: Measured, known_share: NDArray[np.float64], inputs: BlockInputs, options: RubbleOptions
) -> dict[str, NDArray[np.float64]]:
    """The volume with its 95 % interval: correlated errors, the error that a building shares, outlines, cells not seen,
    and what is doubtful."""
    cell_m2, number, volume = inputs.cell_m**2, measured.cells, measured.volume
    error = NORMAL_95 * volume_sigma(number, cell_m2, measured.factor * sigma_m(inputs.fit), options.correlation_m)
    error = error + number * cell_m2 * options.bias_m + (1 - known_share) * np.nan_to_num(volume)
    # errors of single sides: that of a rectangle's area is half its perimeter times theirs
    sides = OUTLINE_M * shapely.length(inputs.outlines) / 2 / np.maximum(shapely.area(inputs.outlines), cell_m2)
    error = error + NORMAL_95 * sides * np.nan_to_num(volume)
    return {
        f"{name}_m3": volume,
        f"{name}_low_m3": np.maximum(volume - error - np.nan_to_num(measured.doubt.less), 0),
        f"{name}_high_m3": volume + error + np.nan_to_num(measured.doubt.more),
    }


@dataclass(frozen=True)
class Doubts:
    """Finds what is doubtful of the volumes of N buildings: `owner` and `distance` (h, w) are the nearest building of
    each cell and how far it is in cells, `least_m` the smallest fall that counts, `known_share` (N,) of the cells of
    each plan."""

    inputs: BlockInputs
    cells: BuildingCells
    plan: Plan
    owner: NDArray[np.int64]
    distance: FloatImage
    least_m: float
    known_share: NDArray[np.float64]

    def of_loss(self) -> Doubt:
        """Falls at edges alone, and as much as rose there by the same chance; roofs beyond the outline that have gone."""
        if self.inputs.pre is None or self.plan.before is None:
            return Doubt(np.zeros(self.cells.count), np.zeros(self.cells.count))
        rise = self.plan.after - self.plan.before
        with np.errstate(invalid="ignore"):
            risen = self.plan.known & (rise > self.least_m)
        by_chance = self.plan.volume(self.cells, rise, risen)
        fall = self.inputs.pre.above(self.inputs.terrain) - self.inputs.post.above(self.inputs.terrain)
        more = self._beyond(fall) + self._unseen(self.plan.before, self.plan.known)
        return Doubt(by_chance - self.plan.volume(self.cells, rise, self._at_edge_alone()), more)

    def of_debris(self, counted: NDArray[np.bool_], standing: NDArray[np.bool_]) -> Doubt:
        """Return what is doubtful of the debris of cells that count (P,): edges alone, buildings that stand (N,), heaps
        beside walls, litter taken for a bare slab, heaps where a roof was beyond the outline, and uneven heaps under
        few points."""
        after = np.maximum(self.plan.after, 0)
        alone = self.plan.volume(self.cells, after, counted & self._at_edge_alone())
        less = np.where(standing, self.plan.volume(self.cells, after, counted), alone)
        most = np.minimum(after, self.plan.limit[self.cells.owner])
        more = self.plan.volume(self.cells, most, self.plan.doubtful & ~counted)
        lying = self.inputs.post.above_lying(self.inputs.terrain)
        with np.errstate(invalid="ignore"):
            heap = np.where(lying <= self.plan.limit[self.owner], np.maximum(lying, 0), 0)
        more = more + self._beyond(heap) + self._unseen(after, counted)
        uneven = self._by_few_points(lying, counted)
        return Doubt(less + uneven, more + uneven)

    def _by_few_points(self, lying: FloatImage, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N,) m³: error of heaps of which each cell shows some points only, by how uneven (h, w) heights are there."""
        variance = self.cells.of_image(roughness(lying)) ** 2
        return NORMAL_95 * np.sqrt(self.plan.volume(self.cells, variance, counted) * self.inputs.cell_m**2)

    def _unseen(self, heights: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N,) m³ of cells without heights, if they were as high as the highest of those that count."""
        return self.plan.volume_unseen(self.cells, heights, where, self.known_share)

    def _at_edge_alone(self) -> NDArray[np.bool_]:
        """(P,) cells that have come down without any beside them away from the edge."""
        from scipy.ndimage import distance_transform_edt

        inner = np.zeros(self.inputs.terrain.shape, bool)
        inner.reshape(-1)[self.cells.flat[self.plan.gone & self.plan.inner]] = True
        if not inner.any():
            return self.plan.gone
        to_inner_m = self.cells.of_image(distance_transform_edt(~inner)) * self.inputs.cell_m
        return np.asarray(self.plan.gone & (to_inner_m > MARGIN_M + self.inputs.cell_m))

    def _beyond(self, heights: FloatImage) -> NDArray[np.float64]:
        """(N,) m³: heights of cells close to an outline where a roof was before that has come down."""
        if self.inputs.pre is None:
            return np.zeros(self.cells.count)
        before, after = (one.above(self.inputs.terrain) for one in (self.inputs.pre, self.inputs.post))
        with np.errstate(invalid="ignore"):
            gone = (before > WALL_M) & (before - after > self.least_m)
        gone &= (self.distance > 0) & (self.distance * self.inputs.cell_m <= BUILT_MARGIN_M)
        total_m = np.bincount(self.owner[gone], weights=np.nan_to_num(heights[gone]), minlength=self.cells.count)
        return (total_m * self.inputs.cell_m**2).astype(np.float64)
