"""Height loss, rubble and debris of every building of a block, with their intervals.

Volumes are means over the known cells of an outline times its area. Debris is what lies where the surface has fallen, up
to the height of a heap, and what has risen around the building. Without heights from before, rubble is what is low and
rough, and what is bare has come down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.points.rubble.cells import BuildingCells, nearest_building, roughness, shrink
from deepnets4eo.points.rubble.debris_rule import NORMAL_95, rule_of_thumb, volume_sigma
from deepnets4eo.points.rubble.options import RubbleOptions
from deepnets4eo.points.rubble.states import PARTLY_SHARE, states_of
from deepnets4eo.points.rubble.surfaces import BlockHeights
from deepnets4eo.points.rubble.terrain import LEAST_SIGMA_M, VerticalFit
from deepnets4eo.points.rubble.vocabulary import GRADE_OF_STATE

STOREY_M = 2.5
PANCAKE = 0.35  # of the height before: the highest heap of a collapsed building
REACH = 0.5  # of the height before: how far a heap spreads around its building
NEAREST_M, FARTHEST_M = 1.0, 8.0  # limits of that distance
MARGIN_M = 1.25  # at the edge of an outline, where walls make any surface rough
ROUGH_M = 0.08  # standard deviation about a plane from which a low surface is rubble
MIXED_SHARE = 0.4  # of what has come down that is heap, from which its low spots are debris, too, and no bare slab
LEAST_INNER = 16  # cells away from the edge that are needed to see whether a surface is rough; sheds have fewer
INNER_SHARE = 0.25  # of the inner cells that have come down, from which low cells of the margin have, too
RUBBLE_POINTS = 0.5  # share of a cell's points that are classified as rubble, from which the cell is rubble
NMADS = 3.0  # a fall counts from so many times the spread on stable ground
OUTLINE_M = 0.2  # standard error of the position of an outline's side, after it was laid on the heights
TERRAIN_ERROR = 2.0  # heights above an interpolated terrain have about twice the error of differences of heights


@dataclass(frozen=True)
class BlockInputs:
    """Heights of a block on one grid, brought to each other, and N outlines in its CRS.

    pre : None for work on post alone; heights_m : (N,) heights before by other sources, NaN where unknown.
    """

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
class BlockMeasures:
    """One row per building (`table`), and which cells are rubble of which building.

    rubble : (h, w) int32, building plus one, 0 elsewhere; above : (h, w) heights above the terrain after the event;
    terrain : (h, w) its heights.
    """

    table: pd.DataFrame
    rubble: NDArray[np.int32]
    above: FloatImage
    terrain: FloatImage


@dataclass(frozen=True)
class _Plan:
    """What the cells (P,) of the plans show: heights after, known, whether the roof has gone; per building (N,): limit
    of heaps, height before, mean loss, volume before and lost."""

    after: NDArray[Any]
    known: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    limit: NDArray[np.float64]
    height: NDArray[np.float64]
    loss: NDArray[np.float64]
    before_m3: NDArray[np.float64]
    lost_m3: NDArray[np.float64]


def measure_block(inputs: BlockInputs, options: RubbleOptions) -> BlockMeasures:
    """Measure all buildings of a block."""
    cells = BuildingCells.of(inputs.outlines, inputs.post.grid)
    above = inputs.post.above(inputs.terrain)
    rough = _is_rough(inputs.post, above)
    area, cell_m2 = shapely.area(inputs.outlines), inputs.cell_m**2
    plan = (
        _plan_alone(inputs, cells, above, rough, area, options)
        if inputs.pre is None
        else _plan_of_both(inputs, inputs.pre, cells, area, options)
    )
    heap = plan.gone & (plan.after <= plan.limit[cells.owner])
    high = heap & (plan.after >= options.least_heap_m)
    collapsed, rubble = cells.mean(plan.gone, plan.known), cells.mean(high, plan.known)
    mixed = (rubble >= MIXED_SHARE * collapsed)[cells.owner]
    counted = np.where(mixed, heap, high)
    in_plan = area * cells.mean(np.where(counted, np.maximum(plan.after, 0), 0), plan.known)
    around, ring = _around(inputs, cells, above, rough, plan, collapsed, options)
    known_share = np.minimum(cells.total(plan.known) * cell_m2 / np.maximum(area, cell_m2), 1)
    state = states_of(collapsed, rubble, plan.loss, plan.height, known_share >= options.least_known_share)
    debris_cells = cells.total(counted & plan.known) / np.maximum(known_share, 1e-9) + around / cell_m2
    lost_cells = cells.total(plan.gone & plan.known) / np.maximum(known_share, 1e-9)
    table = pd.DataFrame(
        {
            "area_m2": area,
            "terrain_m": cells.quantile(cells.of_image(inputs.terrain), 0.5),
            "height_pre_m": plan.height,
            "roof_height_loss_m": plan.loss,
            "collapsed_share": collapsed,
            "rubble_share": rubble,
            "volume_pre_m3": plan.before_m3,
            **_interval("lost", plan.lost_m3, lost_cells, known_share, 1.0, inputs, options),
            **_interval("debris", in_plan + around, debris_cells, known_share, TERRAIN_ERROR, inputs, options),
            "debris_around_m3": around,
            **dict(zip(("rule_low_m3", "rule_m3", "rule_high_m3"), rule_of_thumb(area, plan.height, collapsed), strict=True)),
            "known_share": known_share,
            "state": state,
            "damage": [GRADE_OF_STATE[word] for word in state],
        }
    )  # fmt: skip
    ring[cells.flat[counted & plan.known]] = cells.owner[counted & plan.known] + 1
    return BlockMeasures(table, ring.reshape(above.shape).astype(np.int32), above, inputs.terrain)


def _plan_of_both(
    inputs: BlockInputs,
    pre: BlockHeights,
    cells: BuildingCells,
    area: NDArray[np.float64],
    options: RubbleOptions,
) -> _Plan:
    """The plans by the difference of heights: of tops at the edge, where walls are, and of means within."""
    inner = _inner_cells(inputs, cells)
    after, before = (
        np.where(inner, cells.of_heights(one.above_lying(inputs.terrain)), cells.of_heights(one.above(inputs.terrain)))
        for one in (inputs.post, pre)
    )
    known = np.isfinite(after) & np.isfinite(before)
    with np.errstate(invalid="ignore"):
        gone = known & (before - after > least_loss_m(inputs.fit, options))
    after = np.where(gone, cells.of_heights(inputs.post.above_lying(inputs.terrain)), after)
    fallen = before - after
    height = cells.mean(before, known)
    lost = area * cells.mean(np.where(gone, fallen, 0), known)
    return _Plan(
        after, known, gone, _heap_limit(height), height, cells.mean(fallen, known), area * np.maximum(height, 0), lost
    )


def _plan_alone(
    inputs: BlockInputs,
    cells: BuildingCells,
    above: FloatImage,
    rough: NDArray[np.bool_],
    area: NDArray[np.float64],
    options: RubbleOptions,
) -> _Plan:
    """The plans by heights after the event alone: rubble is low and rough, and what is bare has come down."""
    after = cells.of_heights(above)
    within = _inner_cells(inputs, cells)
    known = np.isfinite(after) & (cells.total(within) >= LEAST_INNER)[cells.owner]
    limit = _heap_limit(inputs.heights_m)
    with np.errstate(invalid="ignore"):
        low = known & (after <= limit[cells.owner])
        bare = known & (after < options.least_heap_m)
    fallen = low & (cells.of_image(rough) | bare)
    share = np.nan_to_num(cells.mean(fallen & within, known & within))
    gone = np.where(within, fallen, low & (share >= INNER_SHARE)[cells.owner])
    after = np.where(gone, cells.of_heights(inputs.post.above_lying(inputs.terrain)), after)
    height = inputs.heights_m
    unknown = np.full(len(area), np.nan)
    return _Plan(after, known, gone, limit, height, height - cells.mean(after, known), area * height, unknown)


def _inner_cells(inputs: BlockInputs, cells: BuildingCells) -> NDArray[np.bool_]:
    """(P,) whether a cell of a plan lies away from its edge."""
    inner = np.zeros(inputs.terrain.shape, bool)
    inner.reshape(-1)[BuildingCells.of(shrink(inputs.outlines, MARGIN_M), inputs.post.grid).flat] = True
    return np.asarray(cells.of_image(inner))


def _around(
    inputs: BlockInputs,
    cells: BuildingCells,
    above: FloatImage,
    rough: NDArray[np.bool_],
    plan: _Plan,
    collapsed: NDArray[np.float64],
    options: RubbleOptions,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Debris (N,) m³ around buildings that have come down, and the flat cells of it (building plus one, else 0)."""
    owner, distance = nearest_building(cells, above.shape)
    reach = np.clip(np.nan_to_num(REACH * plan.height, nan=STOREY_M), NEAREST_M, FARTHEST_M) / inputs.cell_m
    with np.errstate(invalid="ignore"):
        counted = (distance > 0) & (distance <= reach[owner]) & (collapsed >= PARTLY_SHARE)[owner]
        rise = above if inputs.pre is None else above - np.maximum(inputs.pre.above(inputs.terrain), 0)
        counted &= (rise >= max(options.least_heap_m, NMADS * _sigma_m(inputs.fit))) & (above <= plan.limit[owner])
    if inputs.pre is None:
        counted &= rough
    chosen = owner[counted]
    volume = np.bincount(chosen, weights=rise[counted], minlength=cells.count) * inputs.cell_m**2
    return volume.astype(np.float64), np.where(counted, owner + 1, 0).reshape(-1).astype(np.int64)


def _interval(
    name: str,
    volume: NDArray[np.float64],
    number: NDArray[np.float64],
    known_share: NDArray[np.float64],
    factor: float,
    inputs: BlockInputs,
    options: RubbleOptions,
) -> dict[str, NDArray[np.float64]]:
    """The volume with its 95 % interval: correlated errors, the error that a building shares, outlines, cells not seen."""
    cell_m2 = inputs.cell_m**2
    error = NORMAL_95 * volume_sigma(number, cell_m2, factor * _sigma_m(inputs.fit), options.correlation_m)
    error = error + number * cell_m2 * options.bias_m + (1 - known_share) * np.nan_to_num(volume)
    # errors of single sides: that of a rectangle's area is half its perimeter times theirs
    sides = OUTLINE_M * shapely.length(inputs.outlines) / 2 / np.maximum(shapely.area(inputs.outlines), cell_m2)
    error = error + NORMAL_95 * sides * np.nan_to_num(volume)
    return {
        f"{name}_m3": volume,
        f"{name}_low_m3": np.maximum(volume - error, 0),
        f"{name}_high_m3": volume + error,
    }


def least_loss_m(fit: VerticalFit, options: RubbleOptions) -> float:
    """The smallest fall that counts: that of the options, or 3 NMAD of the stable ground where that is more."""
    return max(options.least_loss_m, NMADS * _sigma_m(fit))


def _sigma_m(fit: VerticalFit) -> float:
    return fit.nmad_m if np.isfinite(fit.nmad_m) else 2 * LEAST_SIGMA_M


def _heap_limit(height_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) highest that a heap can be: one storey, or 0.35 of the building's height before."""
    return np.maximum(STOREY_M, np.nan_to_num(PANCAKE * height_m))


def _is_rough(post: BlockHeights, above: FloatImage) -> NDArray[np.bool_]:
    """(h, w) cells of a rough surface, without lines such as ridges; or of points that are classified as rubble."""
    from scipy.ndimage import binary_opening

    rough = binary_opening(roughness(above) > ROUGH_M, np.ones((3, 3), bool))
    return rough if post.rubble is None else rough | (post.rubble >= RUBBLE_POINTS)
