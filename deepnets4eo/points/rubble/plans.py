"""Heights before and after in the cells of each building's plan: the parts without their roof, and the errors of volumes.

Heights of both dates are aligned on the stable ground that they share. If there is only the later date, low and rough cells
are rubble, and bare cells have come down.

The 95 % intervals cover errors of heights and outlines, and doubtful volumes, which are measured on each building:

edges : a scan hits the roof at one date and the ground at the other
eaves : roofs reach beyond mapped outlines
heights : they separate neither heaps from the walls between them, nor flat litter from slabs
gaps : a roof that was not seen may have come down
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Indices, Mask
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble.rubble_map import RubbleOptions
from deepnets4eo.points.rubble.surfaces import (
    WALL_M,
    BlockHeights,
    BuildingCells,
    nmad,
    roughness,
    shrink,
    volume_sigma,
)
from deepnets4eo.terrain import ground

NORMAL_95 = 1.96

OUTLINE_M = 0.2  # standard error of the position of an outline's side, after it was laid on the heights

STABLE_M = 0.4  # what is lower than this above the terrain at both dates is ground
FAR_M = 5.0  # larger differences of ground are no offset between two dates, but work of men
MIN_STABLE_CELLS = 50
MIN_SIGMA_M = 0.02


@dataclass(frozen=True)
class VerticalFit:
    """Vertical fit of two dates on stable ground: metres added to the heights before, spread of differences, cells."""

    shift_m: float = 0.0
    nmad_m: float = float("nan")
    cells: int = 0


def terrain_under(heights: BlockHeights, built: Mask, cell_m: float) -> FloatImage:
    """Return terrain heights (h, w); `built` are cells of footprints with a margin. Raises NoHeightsError."""
    open_ground = np.where(built, np.nan, heights.lowest)
    if not np.isfinite(open_ground).any():
        raise NoHeightsError("no height is known beside the footprints. Give heights of a wider area.")
    return ground(open_ground, cell_m, slope=0.3)


def fit_vertically(pre: BlockHeights, post: BlockHeights, terrain: FloatImage, built: Mask) -> VerticalFit:
    """Measure how much higher post is than pre on stable ground that is not `built`."""
    difference = post.mean - pre.mean
    with np.errstate(invalid="ignore"):
        stable = ~built & (np.abs(pre.mean - terrain) < STABLE_M) & (np.abs(difference) < FAR_M)
    if stable.sum() < MIN_STABLE_CELLS:
        return VerticalFit(cells=int(stable.sum()))
    first = float(np.median(difference[stable]))
    near = stable & (np.abs(difference - first) < STABLE_M)  # without cars, fallen trees, debris on the ground
    left = difference[near]
    return VerticalFit(float(np.median(left)), max(nmad(left), MIN_SIGMA_M), int(near.sum()))


class PlanRules:
    """Numbers by which the heights of both dates are compared under a building."""

    storey_m: ClassVar[float] = 2.5
    built_margin_m: ClassVar[float] = 1.5  # around footprints, which are off by about that much
    nmads: ClassVar[float] = 3.0  # a fall counts from so many times the spread on stable ground


PANCAKE = 0.35  # of the height before: the highest heap of a collapsed building
MARGIN_M = 1.25  # at the edge of an outline, where walls make any surface rough
MIN_INNER_CELLS = 16  # cells away from the edge that are needed to see whether a surface is rough; sheds have fewer
INNER_SHARE = 0.25  # of the inner cells that have come down, from which low cells of the margin have, too
HIGH_SHARE = 0.95  # quantile of heights that stands for the highest, without single points above them


@dataclass(frozen=True)
class BlockInputs:
    """Heights of a block on one grid, aligned with each other, and N outlines in its CRS.

    `heights_m` (N,) are heights before the event from other sources, NaN if unknown."""

    post: BlockHeights
    pre: BlockHeights | None
    terrain: FloatImage
    outlines: NDArray[Any]
    heights_m: Floats
    fit: VerticalFit

    @property
    def cell_m(self) -> float:
        """Side of a cell."""
        return float(abs(self.post.grid.affine.a))


@dataclass(frozen=True)
class HeightLoss:
    """Loss of height in the cells (P,) of the plans, and per building (N,).

    after, before : (P,) heights at both dates
    known : (P,) whether the heights are known
    gone, doubtful : (P,) whether the roof has gone, and whether it may have gone
    inner : (P,) whether the cell lies away from the edge
    area, limit, height : (N,) area, limit of heaps, height before
    loss, before_m3, lost_m3 : (N,) mean loss, volume before and lost
    """

    after: NDArray[Any]
    before: NDArray[Any] | None
    known: Mask
    gone: Mask
    doubtful: Mask
    inner: Mask
    area: Floats
    limit: Floats
    height: Floats
    loss: Floats
    before_m3: Floats
    lost_m3: Floats

    def mean(self, cells: BuildingCells, values: NDArray[Any]) -> Floats:
        """Return (N,) means of values (P,) by `mean_of_parts`."""
        return cells.mean_of_parts(values, self.known, self.inner)

    def volume(self, cells: BuildingCells, heights: NDArray[Any], where: Mask) -> Floats:
        """Return (N,) volumes in m³: area times the mean of the heights (P,) that count, with 0 for all other cells."""
        return self.area * self.mean(cells, np.where(where, heights, 0))

    def roof_seen_share(self, cells: BuildingCells) -> Floats:
        """Return (N,) share of the cells away from the edge that are known; of all cells without such."""
        within = self.inner | (cells.total(self.inner) == 0)[cells.owner]
        return cells.mean(self.known, within)

    def volume_unseen(self, cells: BuildingCells, heights: NDArray[Any], where: Mask, known_share: Floats) -> Floats:
        """Return (N,) m³ of cells without heights if they were as high as the highest (P,) that count."""
        highest = cells.quantile(np.where(where & self.known, heights, np.nan), HIGH_SHARE)
        return (1 - known_share) * self.area * np.maximum(np.nan_to_num(highest), 0)


def plan_of_both(
    inputs: BlockInputs, pre: BlockHeights, cells: BuildingCells, area: Floats, options: RubbleOptions
) -> HeightLoss:
    """Measure the plans by the difference of heights: of tops at the edge, of means within."""
    inner = inner_cells(inputs, cells)
    after, before = (
        np.where(
            inner, cells.of_heights(block.above_lying(inputs.terrain)), cells.of_heights(block.above(inputs.terrain))
        )
        for block in (inputs.post, pre)
    )
    known = np.isfinite(after) & np.isfinite(before)
    with np.errstate(invalid="ignore"):
        gone = known & (before - after > least_loss_m(inputs.fit, options))
    after = np.where(gone, cells.of_heights(inputs.post.above_lying(inputs.terrain)), after)
    fallen = before - after
    height, loss, lost = (
        cells.mean_of_parts(values, known, inner) for values in (before, fallen, np.where(gone, fallen, 0))
    )
    return HeightLoss(
        after, before, known, gone, gone, inner, area, heap_limit(height), height, loss, area * np.maximum(height, 0),
        area * lost,
    )  # fmt: skip


def plan_alone(
    inputs: BlockInputs, cells: BuildingCells, above: FloatImage, rough: Mask, area: Floats, options: RubbleOptions
) -> HeightLoss:
    """Measure the plans only by heights after the event."""
    after = cells.of_heights(above)
    within = inner_cells(inputs, cells)
    known = np.isfinite(after) & (cells.total(within) >= MIN_INNER_CELLS)[cells.owner]
    limit = heap_limit(inputs.heights_m)
    with np.errstate(invalid="ignore"):
        low = known & (after <= limit[cells.owner])
        bare = known & (after < options.least_heap_m)
    uneven = cells.of_image(rough)
    fallen = low & (uneven | bare)
    share = np.nan_to_num(cells.mean(fallen & within, known & within))
    gone = np.where(within, fallen, low & (share >= INNER_SHARE)[cells.owner])
    after = np.where(gone, cells.of_heights(inputs.post.above_lying(inputs.terrain)), after)
    height = inputs.heights_m
    unknown = np.full(len(area), np.nan)
    loss = height - cells.mean_of_parts(after, known, within)
    return HeightLoss(
        after, None, known, gone, known & (uneven | low), within, area, limit, height, loss, area * height, unknown
    )


def inner_cells(inputs: BlockInputs, cells: BuildingCells) -> Mask:
    """Return (P,) whether each cell of a plan lies away from its edge."""
    inner = np.zeros(inputs.terrain.shape, bool)
    inner.reshape(-1)[BuildingCells.from_outlines(shrink(inputs.outlines, MARGIN_M), inputs.post.grid).flat] = True
    return np.asarray(cells.of_image(inner))


def least_loss_m(fit: VerticalFit, options: RubbleOptions) -> float:
    """Return the smallest fall that counts: the fall set in the options, or 3 NMAD of the stable ground if that is larger."""
    return max(options.least_loss_m, PlanRules.nmads * sigma_m(fit))


def sigma_m(fit: VerticalFit) -> float:
    """Return the spread of differences on stable ground, or an assumed spread if it is unknown."""
    return fit.nmad_m if np.isfinite(fit.nmad_m) else 2 * MIN_SIGMA_M


def heap_limit(height_m: Floats) -> Floats:
    """Return (N,) highest that a heap can be: one storey, or 0.35 of the building's height before."""
    return np.maximum(PlanRules.storey_m, np.nan_to_num(PANCAKE * height_m))


@dataclass(frozen=True)
class Doubt:
    """Volumes (N,) m³ that were counted in doubt (`less`), and that were not (`more`)."""

    less: Floats
    more: Floats


@dataclass(frozen=True)
class Measured:
    """A volume (N,) m³, its cells, the factor of its error of heights, and what is doubtful."""

    volume: Floats
    cells: Floats
    factor: float
    doubt: Doubt


def interval(
    name: str, measured: Measured, known_share: Floats, inputs: BlockInputs, options: RubbleOptions
) -> dict[str, Floats]:
    """Return the volume with its 95 % interval."""
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
    """Finds what is doubtful of the volumes of N buildings; `owner`, `distance` as of `nearest_building`, `least_m` the
    smallest fall that counts, `known_share` (N,) of each plan."""

    inputs: BlockInputs
    cells: BuildingCells
    plan: HeightLoss
    owner: Indices
    distance: FloatImage
    least_m: float
    known_share: Floats

    def of_loss(self) -> Doubt:
        """Return the doubt about the loss: falls only at edges, rises of the same chance, and lost roofs beyond the outline."""
        if self.inputs.pre is None or self.plan.before is None:
            return Doubt(np.zeros(self.cells.count), np.zeros(self.cells.count))
        rise = self.plan.after - self.plan.before
        with np.errstate(invalid="ignore"):
            risen = self.plan.known & (rise > self.least_m)
        by_chance = self.plan.volume(self.cells, rise, risen)
        fall = self.inputs.pre.above(self.inputs.terrain) - self.inputs.post.above(self.inputs.terrain)
        more = self._beyond(fall) + self._unseen(self.plan.before, self.plan.known)
        return Doubt(by_chance - self.plan.volume(self.cells, rise, self._at_edge_alone()), more)

    def of_debris(self, counted: Mask, standing: Mask) -> Doubt:
        """Return the doubtful volume of debris in cells that count (P,); `standing` (N,) selects buildings that stand.

        Doubtful are falls only at edges, heaps next to walls, litter mistaken for a slab, heaps in cells of a roof that reached
        beyond the outline, and uneven heaps under few points.
        """
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

    def _by_few_points(self, lying: FloatImage, counted: Mask) -> Floats:
        """Return (N,) m³: error of heaps under few points, by how uneven (h, w) heights are."""
        variance = self.cells.of_image(roughness(lying)) ** 2
        return NORMAL_95 * np.sqrt(self.plan.volume(self.cells, variance, counted) * self.inputs.cell_m**2)

    def _unseen(self, heights: Floats, where: Mask) -> Floats:
        """Return (N,) m³ by `volume_unseen`."""
        return self.plan.volume_unseen(self.cells, heights, where, self.known_share)

    def _at_edge_alone(self) -> Mask:
        """Return (P,) cells that have come down only at an edge."""
        from scipy.ndimage import distance_transform_edt

        inner = np.zeros(self.inputs.terrain.shape, bool)
        inner.reshape(-1)[self.cells.flat[self.plan.gone & self.plan.inner]] = True
        if not inner.any():
            return self.plan.gone
        to_inner_m = self.cells.of_image(distance_transform_edt(~inner)) * self.inputs.cell_m
        return np.asarray(self.plan.gone & (to_inner_m > MARGIN_M + self.inputs.cell_m))

    def _beyond(self, heights: FloatImage) -> Floats:
        """Return (N,) m³ of cells close to an outline where a roof has come down."""
        if self.inputs.pre is None:
            return np.zeros(self.cells.count)
        before, after = (block.above(self.inputs.terrain) for block in (self.inputs.pre, self.inputs.post))
        with np.errstate(invalid="ignore"):
            gone = (before > WALL_M) & (before - after > self.least_m)
        gone &= (self.distance > 0) & (self.distance * self.inputs.cell_m <= PlanRules.built_margin_m)
        total_m = np.bincount(self.owner[gone], weights=np.nan_to_num(heights[gone]), minlength=self.cells.count)
        return (total_m * self.inputs.cell_m**2).astype(np.float64)
