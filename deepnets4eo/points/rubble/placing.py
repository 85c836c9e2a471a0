"""Placement of heights and footprints of a rubble job: one CRS in metres, and the heights around the footprints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.errors import GridError
from deepnets4eo.outputs import count_of
from deepnets4eo.points.rubble.rubble_map import RubbleOptions
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.rasters import flat_crs
from deepnets4eo.read_as import check_same_datum

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints

HALO_M = 40.0  # of a block: heaps around its buildings, and ground beside them


def read_outlines(footprints: str | Path | gpd.GeoDataFrame | Footprints, options: RubbleOptions) -> Footprints:
    """Read the building outlines according to the options. Errors: InputError, as for `read_footprints`."""
    from deepnets4eo.footprints import read_footprints

    return read_footprints(
        footprints, layer=options.layer, id_column=options.id_column, assume_crs=options.footprints_crs
    )


def frame_on(footprints: Footprints, crs: Any, after: Heights, before: Heights | None) -> gpd.GeoDataFrame:
    """Return the footprints in the heights' coordinates, in metres; without a CRS they count as being in them already."""
    if crs is not None:
        return footprints.frame if footprints.crs is None else footprints.to(crs).frame
    unit_m = after.unit_m if before is None or after.unit_m != 1 else before.unit_m
    frame = footprints.frame
    if unit_m == 1:
        return frame
    return frame.set_geometry(shapely.transform(frame.geometry.to_numpy(), lambda xy: xy * unit_m))


def common_crs(after: Heights, before: Heights | None) -> Any:
    """Return the CRS of the heights; one of two sources may lack a CRS."""
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
        after.check_other_date(before)
    return flat_crs(crs)


def _same_plane(one: Any, other: Any) -> bool:
    """Return whether two CRS have the same horizontal part."""
    first, second = (crs.to_2d() if hasattr(crs, "to_2d") else crs for crs in (one, other))
    return bool(first == second or first.to_epsg() == second.to_epsg() is not None)


def common_bounds(after: Heights, before: Heights | None) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of what the heights of both dates share."""
    left, bottom, right, top = after.bounds
    if before is None:
        return left, bottom, right, top
    also = before.bounds
    return max(left, also[0]), max(bottom, also[1]), min(right, also[2]), min(top, also[3])


def bounds_around(after: Heights, before: Heights | None, frame: gpd.GeoDataFrame) -> tuple[float, ...]:
    """Return the bounds of the heights around the footprints. Errors: GridError if no footprint is on the heights."""
    left, bottom, right, top = common_bounds(after, before)
    own = shapely.box(left, bottom, right, top) if left < right and bottom < top else shapely.Polygon()
    if not shapely.intersects(own, frame.geometry.to_numpy()).any():
        raise GridError(
            f"none of the {count_of(len(frame), 'footprint')} lies on the heights of {after.source}"
            + (f" and {before.source}" if before is not None else "")
            + ". Check their CRS: clouds often state none, or a wrong one."
        )
    around = frame.total_bounds + np.array([-HALO_M, -HALO_M, HALO_M, HALO_M])
    return max(left, around[0]), max(bottom, around[1]), min(right, around[2]), min(top, around[3])
