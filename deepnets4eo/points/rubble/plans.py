"""What the cells of the buildings' plans show: heights before and after, and where the roof has gone.

Heights of both dates are brought to each other on the stable ground that they share.
By both dates, or by the later one alone, where rubble is what is low and rough, and what is bare has come down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble.cells import BuildingCells, shrink
from deepnets4eo.points.rubble.debris_rule import nmad
from deepnets4eo.points.rubble.options import RubbleOptions
from deepnets4eo.points.rubble.surfaces import BlockHeights
from deepnets4eo.terrain import ground

STABLE_M = 0.4  # what is lower than this above the terrain at both dates is ground
FAR_M = 5.0  # larger differences of ground are no offset between two dates, but work of men
LEAST_STABLE_CELLS = 50
LEAST_SIGMA_M = 0.02


@dataclass(frozen=True)
class VerticalFit:
    """How two dates' heights fit on stable ground: metres added to the heights before, spread of the remaining
    differences (NaN where none was measured), and number of cells."""

    shift_m: float = 0.0
    nmad_m: float = float("nan")
    cells: int = 0


def terrain_under(heights: BlockHeights, built: NDArray[np.bool_], cell_m: float) -> FloatImage:
    """Return terrain heights (h, w), known everywhere; `built` are cells of footprints with a margin. Raises
    NoHeightsError where no height is known beside the footprints."""
    open_ground = np.where(built, np.nan, heights.lowest)
    if not np.isfinite(open_ground).any():
        raise NoHeightsError("no height is known beside the footprints. Give heights of a wider area.")
    return ground(open_ground, cell_m, slope=0.3)


def fit_vertically(pre: BlockHeights, post: BlockHeights, terrain: FloatImage, built: NDArray[np.bool_]) -> VerticalFit:
    """Measure how much higher post is than pre on stable ground: the median difference and the spread about it; cells
    that are `built` do not count."""
    difference = post.mean - pre.mean
    with np.errstate(invalid="ignore"):
        stable = ~built & (np.abs(pre.mean - terrain) < STABLE_M) & (np.abs(difference) < FAR_M)
    if stable.sum() < LEAST_STABLE_CELLS:
        return VerticalFit(cells=int(stable.sum()))
    first = float(np.median(difference[stable]))
    near = stable & (np.abs(difference - first) < STABLE_M)  # without cars, fallen trees, debris on the ground
    left = difference[near]
    return VerticalFit(float(np.median(left)), max(nmad(left), LEAST_SIGMA_M), int(near.sum()))


STOREY_M = 2.5
PANCAKE = 0.35  # of the height before: the highest heap of a collapsed building
BUILT_MARGIN_M = 1.5  # around footprints, which lie off by about that much
MARGIN_M = 1.25  # at the edge of an outline, where walls make any surface rough
LEAST_INNER = 16  # cells away from the edge that are needed to see whether a surface is rough; sheds have fewer
INNER_SHARE = 0.25  # of the inner cells that have come down, from which low cells of the margin have, too
HIGH_SHARE = 0.95  # quantile of heights that stands for the highest, without single points above them
NMADS = 3.0  # a fall counts from so many times the spread on stable ground


@dataclass(frozen=True)
class BlockInputs:
    """Heights of a block on one grid, brought to each other, and N outlines in its CRS; `pre` is None for post alone,
    `heights_m` (N,) are heights before by other sources, NaN where unknown."""

    post: BlockHeights
    pre: BlockHeights | None
    terrain: FloatImage
    outlines: NDArray[Any]
    heights_m: NDArray[np.float64]
    fit: VerticalFit

    @property
    def cell_m(self) -> float:
        """Side of a cell."""
        return float(abs(self.post.grid.affine.a))


@dataclass(frozen=True)
class Plan:
    """What the cells (P,) of the plans show: heights after and before (None in work on post alone), known, whether the
    roof has gone, whether it may have (all that is rough or low, in work on post alone), whether the cell lies away from the
    edge; per building (N,): area, limit of heaps, height before, mean
    loss, volume before and lost."""

    after: NDArray[Any]
    before: NDArray[Any] | None
    known: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    area: NDArray[np.float64]
    limit: NDArray[np.float64]
    height: NDArray[np.float64]
    loss: NDArray[np.float64]
    before_m3: NDArray[np.float64]
    lost_m3: NDArray[np.float64]

    def mean(self, cells: BuildingCells, values: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) means of values (P,) over the known cells, of the edge and of the part within by their cells."""
        return cells.mean_of_parts(values, self.known, self.inner)

    def volume(self, cells: BuildingCells, heights: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N,) m³: area · mean over the known cells of heights (P,) where they count, and 0 elsewhere."""
        return self.area * self.mean(cells, np.where(where, heights, 0))

    def roof_seen_share(self, cells: BuildingCells) -> NDArray[np.float64]:
        """(N,) share of the cells away from the edge that are known; of all cells where a building has no such cells."""
        within = self.inner | (cells.total(self.inner) == 0)[cells.owner]
        return cells.mean(self.known, within)

    def volume_unseen(
        self, cells: BuildingCells, heights: NDArray[Any], where: NDArray[np.bool_], known_share: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(N,) m³ of the cells without heights if they were as high as the highest cells (P,) that count."""
        highest = cells.quantile(np.where(where & self.known, heights, np.nan), HIGH_SHARE)
        return (1 - known_share) * self.area * np.maximum(np.nan_to_num(highest), 0)


def plan_of_both(
    inputs: BlockInputs,
    pre: BlockHeights,
    cells: BuildingCells,
    area: NDArray[np.float64],
    options: RubbleOptions,
) -> Plan:
    """The plans by the difference of heights: of tops at the edge, where walls are, and of means within."""
    inner = inner_cells(inputs, cells)
    after, before = (
        np.where(inner, cells.of_heights(one.above_lying(inputs.terrain)), cells.of_heights(one.above(inputs.terrain)))
        for one in (inputs.post, pre)
    )
    known = np.isfinite(after) & np.isfinite(before)
    with np.errstate(invalid="ignore"):
        gone = known & (before - after > least_loss_m(inputs.fit, options))
    after = np.where(gone, cells.of_heights(inputs.post.above_lying(inputs.terrain)), after)
    fallen = before - after
    height, loss, lost = (
        cells.mean_of_parts(values, known, inner) for values in (before, fallen, np.where(gone, fallen, 0))
    )
    return Plan(
        after, before, known, gone, gone, inner, area, heap_limit(height), height, loss, area * np.maximum(height, 0),
        area * lost,
    )  # fmt: skip


def plan_alone(
    inputs: BlockInputs,
    cells: BuildingCells,
    above: FloatImage,
    rough: NDArray[np.bool_],
    area: NDArray[np.float64],
    options: RubbleOptions,
) -> Plan:
    """The plans by heights after the event alone: rubble is low and rough, and what is bare has come down."""
    after = cells.of_heights(above)
    within = inner_cells(inputs, cells)
    known = np.isfinite(after) & (cells.total(within) >= LEAST_INNER)[cells.owner]
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
    return Plan(
        after,
        None,
        known,
        gone,
        known & (uneven | low),
        within,
        area,
        limit,
        height,
        height - cells.mean_of_parts(after, known, within),
        area * height,
        unknown,
    )


def inner_cells(inputs: BlockInputs, cells: BuildingCells) -> NDArray[np.bool_]:
    """(P,) whether a cell of a plan lies away from its edge."""
    inner = np.zeros(inputs.terrain.shape, bool)
    inner.reshape(-1)[BuildingCells.of(shrink(inputs.outlines, MARGIN_M), inputs.post.grid).flat] = True
    return np.asarray(cells.of_image(inner))


def least_loss_m(fit: VerticalFit, options: RubbleOptions) -> float:
    """The smallest fall that counts: that of the options, or 3 NMAD of the stable ground where that is more."""
    return max(options.least_loss_m, NMADS * sigma_m(fit))


def sigma_m(fit: VerticalFit) -> float:
    """The spread of differences on stable ground; an assumed one where it could not be measured."""
    return fit.nmad_m if np.isfinite(fit.nmad_m) else 2 * LEAST_SIGMA_M


def heap_limit(height_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) highest that a heap can be: one storey, or 0.35 of the building's height before."""
    return np.maximum(STOREY_M, np.nan_to_num(PANCAKE * height_m))
