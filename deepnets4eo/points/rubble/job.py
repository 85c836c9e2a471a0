"""The rubble job: heights after the event, before it where there are any, and footprints in; a `RubbleMap` out.

Works by blocks of about one square kilometre, for each of which points are streamed. Refuses inputs in different CRS or not in
metres, and footprints that lie off the heights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, Window, apply_affine, blocks, crop
from deepnets4eo.outputs.event import EventInfo, event_findings
from deepnets4eo.outputs.findings import count_of
from deepnets4eo.points.height_grid import NoHeightsError, grid_around
from deepnets4eo.points.rubble.dates import epoch_findings, lay_on_first
from deepnets4eo.points.rubble.epochs import EpochFit
from deepnets4eo.points.rubble.measure import BlockInputs, BlockMeasures, measure_block, rubble_polygons
from deepnets4eo.points.rubble.plans import BUILT_MARGIN_M, VerticalFit, fit_vertically, terrain_under
from deepnets4eo.points.rubble.rubble_map import (
    MEANING,
    UNKNOWN,
    RubbleMap,
    RubbleOptions,
    findings_of,
    gap_findings,
    without_losses,
)
from deepnets4eo.points.rubble.surfaces import BlockHeights, BuildingCells, Heights, HeightSource, stated_heights
from deepnets4eo.rasters.plane_crs import PLAIN_METRES, flat_crs
from deepnets4eo.terrain.units import check_same_datum

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints

logger = logging.getLogger(__name__)

BLOCK_CELLS = 2048
MOST_SIDE_CELLS = 2208  # of a block with its halo, about 1 GB: that of cells of 0.5 m; finer ones have smaller blocks
HALO_M = 40.0  # of a block: heaps around its buildings, and ground beside them
HIGHEST_EDGE_M = 6.0  # heights are cut there before outlines are laid on them, so that all roofs have the same edges


def debris_volumes(
    post: HeightSource,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    pre: HeightSource | None = None,
    options: RubbleOptions = RubbleOptions(),
    *,
    event: EventInfo = EventInfo(),
    progress: Callable[[float], None] | None = None,
) -> RubbleMap:
    """Measure height loss, rubble and debris volume of every building.

    Parameters
    ----------
    post : heights after the event: a file of points, a `PointCloud`, a surface model in metres
    footprints : building outlines: any vector file, or a table with a CRS
    pre : the same before the event; None measures rubble by the heights after it alone
    options : how it is measured
    event : what the map is of; missing dates are taken from the tags of surface models
    progress : called with the share done, 0–1

    Returns
    -------
    In the CRS of the heights. Memory: about 1 GB, whatever the area.

    Raises
    ------
    InputError
        What cannot be read; surface models in feet; heights in degrees or the units of web maps.
    GridError
        Heights of both dates in different CRS, or no footprint on the heights.
    NoHeightsError
        No height is known at and around any of the footprints.

    Examples
    --------
    >>> from deepnets4eo.synthetic import City, aerial_scan
    >>> city = City(seed=1, size_px=128)
    >>> rubble = debris_volumes(aerial_scan(city.post), city.buildings, aerial_scan(city.pre))
    >>> bool((rubble.buildings["debris_m3"].dropna() >= 0).all())
    True
    """
    after, before = Heights.open(post), None if pre is None else Heights.open(pre)
    _common_crs(after, before)
    outlines = read_outlines(footprints, options)
    after, fits = lay_dates(after, before, outlines, options)
    return measure_heights(after, before, outlines, options, fits, event=event, progress=progress)


def lay_dates(
    after: Heights, before: Heights | None, outlines: Footprints, options: RubbleOptions
) -> tuple[Heights, tuple[EpochFit, ...]]:
    """Heights after the event, laid on those before it, and how they lay; as they are where there is nothing to lay them on. Errors:
    GridError, as `debris_volumes`."""
    if before is None or options.assume_registered:
        return after, ()
    frame = _frame_on(outlines, _common_crs(after, before), after, before)
    bounds = _bounds(after, before, frame)
    low, high = shapely.bounds(frame.geometry.to_numpy()).reshape(-1, 2, 2).swapaxes(0, 1)
    centres = (low + high) / 2
    laid, fit = lay_on_first(after, before, bounds, centres[np.isfinite(centres).all(axis=1)], options.cell_m)
    return laid, (fit,)


def measure_heights(
    after: Heights,
    before: Heights | None,
    outlines: Footprints,
    options: RubbleOptions,
    fits: tuple[EpochFit, ...] = (),
    *,
    event: EventInfo = EventInfo(),
    progress: Callable[[float], None] | None = None,
) -> RubbleMap:
    """The map of heights that lie on each other; without any loss where one of the `fits` failed. Errors: as `debris_volumes`."""
    from deepnets4eo.footprints import footprint_findings

    crs = _common_crs(after, before)
    frame = _frame_on(outlines, crs, after, before)
    grid = grid_around(_bounds(after, before, frame), options.cell_m, crs)
    heights_m, unusable = stated_heights(outlines, options.height_column)
    blocks_of = _measure_blocks(after, before, frame, grid, heights_m, options, progress)
    buildings = _all_rows(blocks_of.tables, frame, crs, before is not None)
    rubble = gpd.GeoDataFrame(pd.concat(blocks_of.polygons, ignore_index=True), geometry="geometry", crs=crs)
    measured = findings_of(buildings, blocks_of.fits, before is not None)
    if any(fit.status == "failed" for fit in fits):
        buildings, rubble, measured = without_losses(buildings), rubble.iloc[:0], ()
    event = event.with_tags(None if before is None else before.layer, after.layer)
    return RubbleMap(
        buildings=buildings,
        rubble=rubble,
        fits=blocks_of.fits,
        findings=(
            *footprint_findings(outlines),
            *unusable,
            *gap_findings(blocks_of.gaps),
            *epoch_findings(fits),
            *measured,
            *event_findings(event),
        ),
        inputs={role: heights.source for role, heights in (("post", after), ("pre", before)) if heights is not None}
        | {"footprints": outlines.source},
        parameters=asdict(options),
        synthetic=after.synthetic or (before is not None and before.synthetic),
        event=event,
        registrations=fits,
    )


class _Measured(NamedTuple):
    """What the blocks of an area add up to."""

    fits: list[dict[str, Any]]
    tables: list[gpd.GeoDataFrame]
    polygons: list[gpd.GeoDataFrame]
    gaps: list[tuple[int, NoHeightsError]]


def _measure_blocks(
    after: Heights,
    before: Heights | None,
    frame: gpd.GeoDataFrame,
    grid: Grid,
    heights_m: NDArray[np.float64],
    options: RubbleOptions,
    progress: Callable[[float], None] | None,
) -> _Measured:
    """Measure the buildings block by block. Raises NoHeightsError where no block has heights."""
    measured = _Measured([], [], [], [])
    halo = int(np.ceil(HALO_M / options.cell_m))
    block_cells = min(BLOCK_CELLS, MOST_SIDE_CELLS - 2 * halo)
    owner_of = _block_of(frame, grid, block_cells)
    windows = blocks((grid.shape[0], grid.shape[1]), block_cells)
    for number, window in enumerate(windows):
        rows = np.flatnonzero(owner_of == number)
        if len(rows):
            block = crop(grid, _with_halo(window, grid, halo, _common_bounds(after, before)))
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


def check_heights(
    post: HeightSource, footprints: Footprints, pre: HeightSource | None = None, *, measured: bool = False
) -> None:
    """Check that heights can be read and lie under the footprints, without reading all of them.

    Parameters
    ----------
    post, pre : heights of both dates, as for `debris_volumes`
    footprints : the buildings
    measured : whether to measure, too, that both dates fit each other

    Raises
    ------
    InputError
        What cannot be read; surface models in feet; heights in degrees or in the units of web maps; dates that do not fit.
    GridError
        Heights of both dates in different CRS, or no footprint on the heights.
    """
    after, before = Heights.open(post), None if pre is None else Heights.open(pre)
    crs = _common_crs(after, before)
    _bounds(after, before, _frame_on(footprints, crs, after, before))
    if measured:
        _, fits = lay_dates(after, before, footprints, RubbleOptions())
        for finding in epoch_findings(fits):
            if finding.severity == "worthless":
                raise InputError(f"{finding.message} Give the points after the event alone, or points that fit.")


def read_outlines(footprints: str | Path | gpd.GeoDataFrame | Footprints, options: RubbleOptions) -> Footprints:
    """The building outlines as the options say how to read them. Errors: InputError, as `read_footprints`."""
    from deepnets4eo.footprints import read_footprints

    return read_footprints(
        footprints, layer=options.layer, id_column=options.id_column, assume_crs=options.footprints_crs
    )


def _frame_on(footprints: Footprints, crs: Any, after: Heights, before: Heights | None) -> gpd.GeoDataFrame:
    """The footprints in the coordinates of the heights, in metres, as which they count where there is no CRS."""
    if crs is not None:
        return footprints.frame if footprints.crs is None else footprints.to(crs).frame
    unit_m = after.unit_m if before is None or after.unit_m != 1 else before.unit_m
    frame = footprints.frame
    if unit_m == 1:
        return frame
    return frame.set_geometry(shapely.transform(frame.geometry.to_numpy(), lambda xy: xy * unit_m))


def _common_crs(after: Heights, before: Heights | None) -> Any:
    """The CRS of the heights; of two, one may lack it."""
    crs = after.crs if before is None or after.crs is not None else before.crs
    if before is not None and None not in (before.crs, after.crs) and not _same_plane(after.crs, before.crs):
        raise GridError(
            f"{after.source} is in {after.crs.name}, {before.source} in {before.crs.name}. Bring both to one CRS."
        )
    for heights in (after, before):
        if heights is not None:
            heights.check_metres()
    if before is not None:
        check_same_datum(after.crs, before.crs, (after.source, before.source))
    return flat_crs(crs)


def _same_plane(one: Any, other: Any) -> bool:
    """Whether two CRS have the same horizontal part."""
    first, second = (crs.to_2d() if hasattr(crs, "to_2d") else crs for crs in (one, other))
    return bool(first == second or first.to_epsg() == second.to_epsg() is not None)


def _common_bounds(after: Heights, before: Heights | None) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of what the heights of both dates share."""
    left, bottom, right, top = after.bounds
    if before is None:
        return left, bottom, right, top
    also = before.bounds
    return max(left, also[0]), max(bottom, also[1]), min(right, also[2]), min(top, also[3])


def _bounds(after: Heights, before: Heights | None, frame: gpd.GeoDataFrame) -> tuple[float, ...]:
    """The part of the heights around the footprints. Errors: GridError where there is none."""
    left, bottom, right, top = _common_bounds(after, before)
    own = shapely.box(left, bottom, right, top) if left < right and bottom < top else shapely.Polygon()
    if not shapely.intersects(own, frame.geometry.to_numpy()).any():
        raise GridError(
            f"none of the {count_of(len(frame), 'footprint')} lies on the heights of {after.source}"
            + (f" and {before.source}" if before is not None else "")
            + ". Check their CRS: clouds often state none, or a wrong one."
        )
    around = frame.total_bounds + np.array([-HALO_M, -HALO_M, HALO_M, HALO_M])
    return max(left, around[0]), max(bottom, around[1]), min(right, around[2]), min(top, around[3])


def _block_of(frame: gpd.GeoDataFrame, grid: Grid, block_cells: int) -> NDArray[np.int64]:
    """(N,) number of the block nearest to the middle of each footprint; −1 for those off the grid."""
    left, bottom, right, top = shapely.bounds(frame.geometry.to_numpy()).T
    box = grid.extent.boundingbox
    on_grid = (left <= box.right) & (right >= box.left) & (bottom <= box.top) & (top >= box.bottom)
    col = np.clip(np.nan_to_num(((left + right) / 2 - grid.affine.c) / grid.affine.a), 0, grid.shape[1] - 1)
    row = np.clip(np.nan_to_num(((bottom + top) / 2 - grid.affine.f) / grid.affine.e), 0, grid.shape[0] - 1)
    across = -(-grid.shape[1] // block_cells)
    return np.where(on_grid, row // block_cells * across + col // block_cells, -1).astype(np.int64)


def _with_halo(window: Window, grid: Grid, halo: int, bounds: tuple[float, float, float, float]) -> Window:
    """A block with its halo; of fine cells only the part within the heights' bounds."""
    wide = window.grow(halo)
    if 2 * halo <= MOST_SIDE_CELLS - BLOCK_CELLS:
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
) -> tuple[VerticalFit, BlockMeasures, NDArray[Any], str | None]:
    """The buildings of one block: fit, measures, outlines as they were moved, or why not."""
    post = after.on(block)
    pre = None if before is None else before.on(block)
    everything = frame.geometry.to_numpy()
    near = shapely.intersects(everything, shapely.box(*block.extent.boundingbox.bbox))
    built = _cells_of(shapely.buffer(everything[near], BUILT_MARGIN_M), block)
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
) -> tuple[NDArray[Any], str | None]:
    """Outlines moved onto the edges of buildings in the heights, or as they are, and why."""
    from deepnets4eo.footprints import align_footprints
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.terrain.ground_filter import without_gaps

    above = heights.above(terrain)
    image = np.clip(without_gaps(above, np.isfinite(above)), 0, HIGHEST_EDGE_M)
    crs = PLAIN_METRES if block.crs is None else block.crs.proj
    layer = Layer.open(image, grid=GeoBox((block.shape[0], block.shape[1]), block.affine, crs))
    local = frame.set_crs(crs, allow_override=True)
    alignment = align_footprints(layer, local, max_shift_m=4.0, wide_shift_m=4.0)
    logger.info("footprints on the heights %s: moved %.2f m east, %.2f m south. %s",
                alignment.status, alignment.dx_m, alignment.dy_m, alignment.reason)  # fmt: skip
    outlines: NDArray[Any] = alignment.apply(local).geometry.to_numpy()
    return outlines, alignment.reason if alignment.status == "failed" else None


def _all_rows(tables: list[gpd.GeoDataFrame], frame: gpd.GeoDataFrame, crs: Any, paired: bool) -> gpd.GeoDataFrame:
    """A row for every footprint in their order; those off the heights are not assessed."""
    joined = pd.concat(tables).reindex(frame.index if frame.index.is_unique else range(len(frame)))
    joined.index = pd.RangeIndex(len(frame))
    joined["id"], joined["method"] = frame["id"].to_numpy(), "pre_post" if paired else "post_only"
    for name in ("state", "damage"):
        joined[name] = joined[name].astype(object).where(joined[name].notna(), UNKNOWN)
    geometry = np.where(joined.geometry.notna(), joined.geometry.to_numpy(), frame.geometry.to_numpy())
    return gpd.GeoDataFrame(joined[["id", *MEANING]], geometry=geometry, crs=crs)
