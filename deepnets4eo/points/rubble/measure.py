"""Height loss, rubble and debris of every building of a block, with their intervals, and the polygons of rubble.

Volumes are means over the known cells of an outline times its area.

Debris is counted in cells whose surface has fallen, up to the height of a heap, and in cells around the building whose
surface has risen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Indices, Mask
from deepnets4eo.grid import Grid
from deepnets4eo.points.rubble.plans import (
    BlockInputs,
    Doubts,
    HeightLoss,
    Measured,
    PlanRules,
    interval,
    least_loss_m,
    plan_alone,
    plan_of_both,
    sigma_m,
)
from deepnets4eo.points.rubble.rubble_map import BuildingState, RubbleOptions
from deepnets4eo.points.rubble.surfaces import (
    BlockHeights,
    BuildingCells,
    nearest_building,
    roughness,
    rule_of_thumb,
    systematic_offset_m,
    without_offset,
)

TERRAIN_ERROR = 2.0  # heights above an interpolated terrain have about twice the error of differences of heights

COLLAPSED_SHARE = 0.5  # of the plan that has come down
PARTLY_SHARE = 0.1
# mean loss from which a building is collapsed: the greater of a storey and 0.3 height
MIN_LOSS_M, LOSS_SHARE = 2.5, 0.3
# of the plan that must lie as low as a heap for a mean fall to say that a building is gone without debris
LOW_SHARE = 0.5
HEAP_SHARE = 0.25  # of what has come down that must be heaps, else the site is cleared

REACH = 0.5  # of the height before: how far a heap spreads around its building
NEAREST_M, FARTHEST_M = 1.0, 8.0  # limits of that distance
ROUGH_M = 0.08  # standard deviation about a plane from which a low surface is rubble
MIXED_SHARE = 0.4  # of what has come down that is heap, from which its low spots are debris, too, and no bare slab
MIN_PATCH_CELLS = 4  # smaller patches of rubble are noise of measurement
RUBBLE_POINT_SHARE = 0.5  # share of a cell's points that are classified as rubble, from which the cell is rubble


@dataclass(frozen=True)
class BlockMeasures:
    """Measures of all buildings of a block.

    table : one row per building
    rubble : (h, w) number of the building whose rubble covers a cell, plus one
    above : (h, w) heights above the terrain after the event, metres
    terrain : (h, w) heights of the terrain, metres
    stated_offset_m : offset of stated heights above roofs, which is removed
    """

    table: pd.DataFrame
    rubble: NDArray[np.int32]
    above: FloatImage
    terrain: FloatImage
    stated_offset_m: float = 0.0


def measure_block(inputs: BlockInputs, options: RubbleOptions) -> BlockMeasures:
    """Measure all buildings of a block."""
    cells = BuildingCells.from_outlines(inputs.outlines, inputs.post.grid)
    above = inputs.post.above(inputs.terrain)
    rough = _is_rough(inputs.post, above)
    area, cell_m2 = shapely.area(inputs.outlines), inputs.cell_m**2
    offset_m = 0.0
    if inputs.pre is not None:
        plan = plan_of_both(inputs, inputs.pre, cells, area, options)
    else:
        plan, offset_m = _plan_alone(inputs, cells, above, rough, area, options)
    heap = plan.gone & (plan.after <= plan.limit[cells.owner])
    high = heap & (plan.after >= options.least_heap_m)
    collapsed, rubble = plan.mean(cells, plan.gone), plan.mean(cells, high)
    mixed = (rubble >= MIXED_SHARE * collapsed)[cells.owner]
    counted = np.where(mixed, heap, high)
    in_plan = plan.volume(cells, np.maximum(plan.after, 0), counted)
    nearest = nearest_building(cells, above.shape)
    around, ring = _around(inputs, nearest, above, rough, plan, collapsed, options)
    known_share = np.minimum(cells.total(plan.known) * cell_m2 / np.maximum(area, cell_m2), 1)
    enough = known_share >= options.least_known_share
    state = states_of(collapsed, rubble, plan.loss, plan.height, enough, _low_share(plan, cells))
    rule = rule_of_thumb(area, plan.height, destroyed_share(collapsed, plan.loss, plan.height, state))
    debris_cells = cells.total(counted & plan.known) / np.maximum(known_share, 1e-9) + around / cell_m2
    lost_cells = cells.total(plan.gone & plan.known) / np.maximum(known_share, 1e-9)
    doubts = Doubts(inputs, cells, plan, *nearest, least_loss_m(inputs.fit, options), known_share)
    lost = Measured(plan.lost_m3, lost_cells, 1.0, doubts.of_loss())
    debris = Measured(
        in_plan + around, debris_cells, TERRAIN_ERROR, doubts.of_debris(counted, state == BuildingState.standing)
    )
    table = pd.DataFrame(
        {
            "area_m2": area,
            "terrain_m": cells.quantile(cells.of_image(inputs.terrain), 0.5),
            "height_pre_m": plan.height,
            "roof_height_loss_m": plan.loss,
            "collapsed_share": collapsed,
            "rubble_share": rubble,
            "volume_pre_m3": plan.before_m3,
            **interval("lost", lost, known_share, inputs, options),
            "lost_unseen_m3": (1 - known_share) * np.maximum(plan.before_m3 - plan.lost_m3, 0),
            **interval("debris", debris, known_share, inputs, options),
            "debris_around_m3": around,
            **dict(zip(("rule_low_m3", "rule_m3", "rule_high_m3"), rule, strict=True)),
            "known_share": known_share,
            "roof_seen_share": plan.roof_seen_share(cells),
            "state": state,
            "damage": [BuildingState.grades[word] for word in state],
        }
    )  # fmt: skip
    ring[cells.flat[counted & plan.known]] = cells.owner[counted & plan.known] + 1
    return BlockMeasures(table, ring.reshape(above.shape).astype(np.int32), above, inputs.terrain, offset_m)


def _plan_alone(
    inputs: BlockInputs, cells: BuildingCells, above: FloatImage, rough: Mask, area: Floats, options: RubbleOptions
) -> tuple[HeightLoss, float]:
    """Measure the plans only by heights after the event; return them and the offset that was removed from stated heights."""
    plan = plan_alone(inputs, cells, above, rough, area, options)
    offset_m = _stated_offset_m(plan, cells)
    if offset_m:
        inputs = replace(inputs, heights_m=without_offset(inputs.heights_m, offset_m))
        plan = plan_alone(inputs, cells, above, rough, area, options)
    return plan, offset_m


def _low_share(plan: HeightLoss, cells: BuildingCells) -> Floats:
    """Return (N,) share of each plan whose surface is no higher than a heap can be."""
    with np.errstate(invalid="ignore"):
        return plan.mean(cells, plan.after <= plan.limit[cells.owner])


def _stated_offset_m(plan: HeightLoss, cells: BuildingCells) -> float:
    """Return the offset of stated heights above the roofs of standing buildings."""
    seen_m = plan.height - plan.loss
    with np.errstate(invalid="ignore"):
        standing = (plan.mean(cells, plan.gone) < PARTLY_SHARE) & (seen_m > plan.limit)
    return systematic_offset_m(plan.loss[standing])


def _around(
    inputs: BlockInputs,
    nearest: tuple[Indices, FloatImage],
    above: FloatImage,
    rough: Mask,
    plan: HeightLoss,
    collapsed: Floats,
    options: RubbleOptions,
) -> tuple[Floats, Indices]:
    """Debris (N,) m³ around buildings that have come down, and its flat cells (building plus one, else 0)."""
    owner, distance = nearest
    reach = np.clip(np.nan_to_num(REACH * plan.height, nan=PlanRules.storey_m), NEAREST_M, FARTHEST_M) / inputs.cell_m
    with np.errstate(invalid="ignore"):
        counted = (distance > 0) & (distance <= reach[owner]) & (collapsed >= PARTLY_SHARE)[owner]
        rise = above if inputs.pre is None else above - np.maximum(inputs.pre.above(inputs.terrain), 0)
        counted &= (rise >= max(options.least_heap_m, PlanRules.nmads * sigma_m(inputs.fit))) & (
            above <= plan.limit[owner]
        )
    if inputs.pre is None:
        counted &= rough
    chosen = owner[counted]
    volume = np.bincount(chosen, weights=rise[counted], minlength=len(plan.area)) * inputs.cell_m**2
    return volume.astype(np.float64), np.where(counted, owner + 1, 0).reshape(-1).astype(np.int64)


def _is_rough(post: BlockHeights, above: FloatImage) -> Mask:
    """Return (h, w) cells of a rough surface, without ridges, or of points classified as rubble."""
    from scipy.ndimage import binary_opening

    rough = binary_opening(roughness(above) > ROUGH_M, np.ones((3, 3), bool))
    return rough if post.rubble is None else rough | (post.rubble >= RUBBLE_POINT_SHARE)


def states_of(
    collapsed_share: Floats,
    rubble_share: Floats,
    loss_m: Floats,
    height_m: Floats,
    known: Mask,
    low_share: Floats | None = None,
) -> NDArray[np.object_]:
    """Return the state (N,) of each building.

    collapsed_share, rubble_share, low_share : shares 0–1 of the plan that has fallen, is covered by debris, or is no
        higher than a heap
    loss_m, height_m : mean fall and former height, metres
    known : whether enough was measured

    A mean fall is not enough to count a building as collapsed, as the former height may be wrong.
    """
    with np.errstate(invalid="ignore"):
        fallen = loss_m >= np.maximum(MIN_LOSS_M, LOSS_SHARE * height_m)
        seen = collapsed_share >= PARTLY_SHARE
        if low_share is not None:
            seen |= low_share >= LOW_SHARE
        collapsed = (collapsed_share >= COLLAPSED_SHARE) | (fallen & seen)
        cleared = collapsed & (rubble_share < HEAP_SHARE * collapsed_share)
        rules = [
            (collapsed_share >= PARTLY_SHARE, BuildingState.partly),
            (collapsed, BuildingState.collapsed),
            (cleared, BuildingState.cleared),
        ]
    state = np.full(len(known), BuildingState.standing, dtype=object)
    for rule, word in rules:
        state[rule] = word
    state[~known | ~np.isfinite(collapsed_share)] = BuildingState.unknown
    return state


def destroyed_share(collapsed_share: Floats, loss_m: Floats, height_m: Floats, state: NDArray[np.object_]) -> Floats:
    """Return the share (N,) 0–1 of each building that came down: the share of the plan.

    For a collapsed building it is at least the share of the height, since smooth heaps seen only in post do not count towards the
    plan.

    >>> state = np.array([BuildingState.collapsed, BuildingState.standing], object)
    >>> destroyed_share(np.array([0.0, 0.05]), np.array([6.5, 0.1]), np.array([8.0, 8.0]), state).tolist()
    [0.8125, 0.05]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        of_height = np.clip(loss_m / height_m, 0, 1)
    down = np.isin(state, (BuildingState.collapsed, BuildingState.cleared))
    return np.where(down, np.fmax(collapsed_share, of_height), collapsed_share)


def rubble_polygons(measures: BlockMeasures, grid: Grid, ids: NDArray[Any]) -> gpd.GeoDataFrame:
    """Return patches of at least 4 touching rubble cells of one building, as in `RubbleMap.rubble`."""
    from rasterio.features import shapes

    cells = measures.rubble
    crs = None if grid.crs is None else grid.crs.proj
    traced = [
        (shapely.geometry.shape(outline), int(value))
        for outline, value in shapes(cells, mask=cells > 0, connectivity=4, transform=grid.affine)
    ]
    cell_m2 = abs(grid.affine.a * grid.affine.e)
    traced = [(shape, value) for shape, value in traced if shape.area >= MIN_PATCH_CELLS * cell_m2 * 0.99]
    outlines = np.array([shape for shape, _ in traced], dtype=object)
    volume, highest, terrain = _heaps(measures, grid, outlines)
    return gpd.GeoDataFrame(
        {
            "id": np.asarray(ids, dtype=object)[[value - 1 for _, value in traced]],
            "area_m2": shapely.area(outlines) if len(traced) else np.zeros(0),
            "volume_m3": volume,
            "highest_m": highest,
            "terrain_m": terrain,
        },
        geometry=outlines,
        crs=crs,
    )


def _heaps(measures: BlockMeasures, grid: Grid, outlines: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Volume, greatest height and middle height of the terrain (M,) of patches."""
    if not len(outlines):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    cells = BuildingCells.from_outlines(outlines, grid)
    above = np.maximum(np.nan_to_num(cells.of_image(measures.above)), 0)
    volume = cells.total(above) * abs(grid.affine.a * grid.affine.e)
    return volume, cells.quantile(above, 1.0), cells.quantile(cells.of_image(measures.terrain), 0.5)
