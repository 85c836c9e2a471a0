"""The rubble job: takes heights after the event, heights before it if available, and footprints; makes a `RubbleMap`.

Works by blocks of about one square kilometre; points are streamed for each block. Refuses inputs in different CRS or not in
metres, and footprints that lie off the heights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo
from deepnets4eo.points.height_grid import grid_around
from deepnets4eo.points.rubble.blocks import measure_blocks
from deepnets4eo.points.rubble.dates import epoch_findings, lay_on_first
from deepnets4eo.points.rubble.epochs import EpochFit
from deepnets4eo.points.rubble.placing import bounds_around, common_crs, frame_on, read_outlines
from deepnets4eo.points.rubble.rubble_map import (
    MEANING,
    BuildingState,
    RubbleMap,
    RubbleOptions,
    findings_of,
    gap_findings,
    without_losses,
)
from deepnets4eo.points.rubble.surfaces import Heights, HeightSource, stated_heights

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints


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
    pre : heights before the event, in the same forms; if None, rubble is measured only by the heights after the event
    options : the options of the measurement
    event : the event that the map shows; missing dates are taken from the tags of surface models
    progress : called with the share done, 0–1

    Returns
    -------
    The map, in the CRS of the heights. Memory: about 1 GB, whatever the area.

    Raises
    ------
    InputError
        A source cannot be read; surface models are in feet; heights are in degrees or the units of web maps.
    GridError
        Heights of both dates are in different CRS, or no footprint is on the heights.
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
    common_crs(after, before)
    outlines = read_outlines(footprints, options)
    after, fits = lay_dates(after, before, outlines, options)
    return measure_heights(after, before, outlines, options, fits, event=event, progress=progress)


def lay_dates(
    after: Heights, before: Heights | None, outlines: Footprints, options: RubbleOptions
) -> tuple[Heights, tuple[EpochFit, ...]]:
    """Align the heights after the event to the heights before it; return them with the fits.

    Heights without a counterpart, or assumed to be registered, are returned unchanged. Errors: GridError, as for `debris_volumes`."""
    if before is None or options.assume_registered:
        return after, ()
    frame = frame_on(outlines, common_crs(after, before), after, before)
    bounds = bounds_around(after, before, frame)
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
    """Make the map from aligned heights; it has no losses if one of the `fits` failed. Errors: as for `debris_volumes`."""

    crs = common_crs(after, before)
    frame = frame_on(outlines, crs, after, before)
    grid = grid_around(bounds_around(after, before, frame), options.cell_m, crs)
    heights_m, unusable = stated_heights(outlines, options.height_column)
    blocks_of = measure_blocks(after, before, frame, grid, heights_m, options, progress)
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
            *outlines.findings(),
            *unusable,
            *gap_findings(blocks_of.gaps),
            *epoch_findings(fits),
            *measured,
            *event.findings(),
        ),
        inputs={role: heights.source for role, heights in (("post", after), ("pre", before)) if heights is not None}
        | {"footprints": outlines.source},
        parameters=asdict(options),
        synthetic=after.synthetic or (before is not None and before.synthetic),
        event=event,
        registrations=fits,
    )


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
        A source cannot be read; surface models are in feet; heights are in degrees or in the units of web maps; the dates do not fit.
    GridError
        Heights of both dates are in different CRS, or no footprint is on the heights.
    """
    after, before = Heights.open(post), None if pre is None else Heights.open(pre)
    crs = common_crs(after, before)
    bounds_around(after, before, frame_on(footprints, crs, after, before))
    if measured:
        _, fits = lay_dates(after, before, footprints, RubbleOptions())
        for finding in epoch_findings(fits):
            if finding.severity == "worthless":
                raise InputError(f"{finding.message} Give only the points after the event, or points that fit.")


def _all_rows(tables: list[gpd.GeoDataFrame], frame: gpd.GeoDataFrame, crs: Any, paired: bool) -> gpd.GeoDataFrame:
    """Return one row for every footprint, in their order; footprints off the heights are not assessed."""
    joined = pd.concat(tables).reindex(frame.index if frame.index.is_unique else range(len(frame)))
    joined.index = pd.RangeIndex(len(frame))
    joined["id"], joined["method"] = frame["id"].to_numpy(), "pre_post" if paired else "post_only"
    for name in ("state", "damage"):
        joined[name] = joined[name].astype(object).where(joined[name].notna(), BuildingState.unknown)
    geometry = np.where(joined.geometry.notna(), joined.geometry.to_numpy(), frame.geometry.to_numpy())
    return gpd.GeoDataFrame(joined[["id", *MEANING]], geometry=geometry, crs=crs)
