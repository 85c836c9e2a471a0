"""The blocks of a rubble job, of about one square kilometre each: heights, outlines on them, and what was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Grid, Window, apply_affine, blocks, crop
from deepnets4eo.outputs import Phrase
from deepnets4eo.points.height_grid import NoHeightsError
from deepnets4eo.points.rubble.measure import BlockMeasures, measure_block, rubble_polygons
from deepnets4eo.points.rubble.placing import HALO_M, common_bounds
from deepnets4eo.points.rubble.plans import BlockInputs, PlanRules, VerticalFit, fit_vertically, terrain_under
from deepnets4eo.points.rubble.rubble_map import RubbleOptions
from deepnets4eo.points.rubble.surfaces import BlockHeights, BuildingCells, Heights
from deepnets4eo.rasters import PLAIN_METRES

logger = logging.getLogger(__name__)

BLOCK_CELLS = 2048
MAX_SIDE_CELLS = 2208  # of a block with its halo, about 1 GB: that of cells of 0.5 m; finer ones have smaller blocks
HIGHEST_EDGE_M = 6.0  # heights are cut there before outlines are laid on them, so that all roofs have the same edges


class MeasuredBlocks(NamedTuple):
    """Collected results of the blocks of an area."""

    fits: list[dict[str, Any]]
    tables: list[gpd.GeoDataFrame]
    polygons: list[gpd.GeoDataFrame]
    gaps: list[tuple[int, NoHeightsError]]


def measure_blocks(
    after: Heights,
    before: Heights | None,
    frame: gpd.GeoDataFrame,
    grid: Grid,
    heights_m: NDArray[np.float64],
    options: RubbleOptions,
    progress: Callable[[float], None] | None,
) -> MeasuredBlocks:
    """Measure the buildings block by block. Raises NoHeightsError if no block has heights."""
    measured = MeasuredBlocks([], [], [], [])
    halo = int(np.ceil(HALO_M / options.cell_m))
    block_cells = min(BLOCK_CELLS, MAX_SIDE_CELLS - 2 * halo)
    owner_of = _block_of(frame, grid, block_cells)
    windows = blocks((grid.shape[0], grid.shape[1]), block_cells)
    for number, window in enumerate(windows):
        rows = np.flatnonzero(owner_of == number)
        if len(rows):
            block = crop(grid, _with_halo(window, grid, halo, common_bounds(after, before)))
            try:
                fit, measures, moved, unaligned = _measure(after, before, block, frame, rows, heights_m, options)
            except NoHeightsError as error:
                measured.gaps.append((len(rows), error))
            else:
                offset = {"stated_offset_m": measures.stated_offset_m} if measures.stated_offset_m else {}
                measured.fits.append(
                    {"corner": [block.affine.c, block.affine.f], **asdict(fit), "unaligned": unaligned, **offset}
                )
                measured.tables.append(gpd.GeoDataFrame(measures.table.set_axis(rows), geometry=moved, crs=frame.crs))
                measured.polygons.append(rubble_polygons(measures, block, frame["id"].to_numpy()[rows]))
        if progress is not None:
            progress((number + 1) / len(windows))
    if not measured.tables and measured.gaps:
        raise measured.gaps[0][1]
    return measured


def _block_of(frame: gpd.GeoDataFrame, grid: Grid, block_cells: int) -> NDArray[np.int64]:
    """Return (N,) number of the block nearest to the middle of each footprint; −1 for those off the grid."""
    left, bottom, right, top = shapely.bounds(frame.geometry.to_numpy()).T
    box = grid.extent.boundingbox
    on_grid = (left <= box.right) & (right >= box.left) & (bottom <= box.top) & (top >= box.bottom)
    col = np.clip(np.nan_to_num(((left + right) / 2 - grid.affine.c) / grid.affine.a), 0, grid.shape[1] - 1)
    row = np.clip(np.nan_to_num(((bottom + top) / 2 - grid.affine.f) / grid.affine.e), 0, grid.shape[0] - 1)
    across = -(-grid.shape[1] // block_cells)
    return np.where(on_grid, row // block_cells * across + col // block_cells, -1).astype(np.int64)


def _with_halo(window: Window, grid: Grid, halo: int, bounds: tuple[float, float, float, float]) -> Window:
    """Return a block with its halo; for fine cells, only the part within the bounds of the heights."""
    wide = window.grow(halo)
    if 2 * halo <= MAX_SIDE_CELLS - BLOCK_CELLS:
        return wide
    left, bottom, right, top = bounds
    corners = apply_affine(~grid.affine, np.array([[left, top], [right, bottom]]))
    (col, row), (last_col, last_row) = np.floor(corners).astype(int).tolist()
    cells = Window(row, col, last_row - row + 1, last_col - col + 1)
    part = wide.within(cells).clip((cells.height, cells.width))
    return part.move(row, col)


def _measure(
    after: Heights,
    before: Heights | None,
    block: Grid,
    frame: gpd.GeoDataFrame,
    rows: NDArray[np.int64],
    heights_m: NDArray[np.float64],
    options: RubbleOptions,
) -> tuple[VerticalFit, BlockMeasures, NDArray[Any], Phrase | None]:
    """Measure the buildings of one block; return the fit, measures and moved outlines, and the reason if none were moved."""
    post = after.on(block)
    pre = None if before is None else before.on(block)
    everything = frame.geometry.to_numpy()
    near = shapely.intersects(everything, shapely.box(*block.extent.boundingbox.bbox))
    built = _cells_of(shapely.buffer(everything[near], PlanRules.built_margin_m), block)
    terrain = terrain_under(post if pre is None else pre, built, options.cell_m)
    fit = VerticalFit()
    if pre is not None:
        fit = fit_vertically(pre, post, terrain, built)
        pre, terrain = pre.raise_by(fit.shift_m), terrain + np.float32(fit.shift_m)
    outlines, unaligned = everything[rows], None
    if options.align:
        outlines, unaligned = _on_heights(post if pre is None else pre, terrain, frame.iloc[rows], block)
    inputs = BlockInputs(post, pre, terrain, outlines, heights_m[rows], fit)
    return fit, measure_block(inputs, options), outlines, unaligned


def _cells_of(outlines: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
    built = np.zeros(grid.shape[0] * grid.shape[1], bool)
    built[BuildingCells.from_outlines(outlines, grid).flat] = True
    return built.reshape(grid.shape[0], grid.shape[1])


def _on_heights(
    heights: BlockHeights, terrain: Any, frame: gpd.GeoDataFrame, block: Grid
) -> tuple[NDArray[Any], Phrase | None]:
    """Outlines moved onto the edges of buildings in the heights, or as they are, and why."""
    from deepnets4eo.footprints import align_footprints
    from deepnets4eo.rasters import Layer
    from deepnets4eo.terrain import without_gaps

    above = heights.above(terrain)
    image = np.clip(without_gaps(above, np.isfinite(above)), 0, HIGHEST_EDGE_M)
    crs = PLAIN_METRES if block.crs is None else block.crs.proj
    layer = Layer.open(image, grid=GeoBox((block.shape[0], block.shape[1]), block.affine, crs))
    local = frame.set_crs(crs, allow_override=True)
    alignment = align_footprints(layer, local, max_shift_m=4.0, wide_shift_m=4.0)
    logger.info("footprints on the heights %s: moved %.2f m east, %.2f m south. %s",
                alignment.status, alignment.dx_m, alignment.dy_m, alignment.reason)  # fmt: skip
    outlines: NDArray[Any] = alignment.apply(local).geometry.to_numpy()
    return outlines, alignment.why if alignment.status == "failed" else None
