"""Outlines where the post image shows the buildings: moved by alignment, registration and the height of roofs, and as pixels to measure in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Geometries, Indices, Points
from deepnets4eo.damage.images.dates import COARSEST_PRE
from deepnets4eo.damage.images.working_grid import WorkingGrid, make_working_grid, on_post
from deepnets4eo.damage.structure.block import BuildingGeometry, block_journal, radiometries
from deepnets4eo.damage.structure.maps import Radiometry
from deepnets4eo.damage.structure.roofs import RoofPlaces, Views, find_roofs, roof_agreement
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.footprints import encloses_others, larger_than_buildings, without
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import Outlines, Sides, chunks

if TYPE_CHECKING:
    from deepnets4eo.footprints import FootprintAlignment
    from deepnets4eo.registration import Registration

BODY_M = 1.0  # similarity is taken over the building and its edge


def roofs_in_place(pre: Layer, post: Layer, outlines_px: Geometries, registration: Registration) -> tuple[float, float]:
    """Return how well roofs are found again at the positions of a registration, and by chance. outlines_px : (N,), right on the pre image."""
    working_grid = make_working_grid(pre, post, registration, coarsest_pre=COARSEST_PRE)
    if "pre" not in working_grid.layers:
        return float("nan"), float("nan")
    geometry, _ = move_buildings(outlines_px, working_grid, post.grid, None, registration)
    images = radiometries(working_grid, geometry)
    return roof_agreement(Views(working_grid, geometry.body, geometry.centres, images))


def roofs_beside(
    working_grid: WorkingGrid, geometry: BuildingGeometry, images: dict[str, Radiometry], workers: int,
    scratch: Path | None,
) -> RoofPlaces | None:  # fmt: skip
    """Return the displaced positions of roofs in the post image, in scenes without heights; None if they are not displaced there."""
    if "pre" not in working_grid.layers or {"dsm_pre", "dsm_post"} & set(working_grid.layers):
        return None
    views = Views(working_grid, geometry.body, geometry.centres, images)
    journal = replace(block_journal(scratch, working_grid, geometry), kinds=(RoofPlaces,))
    return journal.run("roofs", lambda: find_roofs(views, workers))


def move_buildings(
    outlines: Geometries,
    working_grid: WorkingGrid,
    grid: Grid,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
    roof_shift: Indices | None = None,
    workers: int = 2,
) -> tuple[BuildingGeometry, Points]:
    """Return buildings as the post image shows them, and how far (N, 2) each was moved. roof_shift : (N, 2) displacement of roofs."""
    enclosing = encloses_others(outlines)

    def part(rows: slice) -> tuple[BuildingGeometry, Points]:
        moved = on_post(outlines[rows], grid, alignment, registration, rows)
        if roof_shift is not None:
            coordinates, owner = shapely.get_coordinates(moved, return_index=True)
            step = roof_shift[rows, ::-1] / (working_grid.post_to_work.a, working_grid.post_to_work.e)
            moved = shapely.set_coordinates(moved, coordinates + step[owner])
        return building_geometry(moved, working_grid, enclosing[rows]), _centres(moved) - _centres(outlines[rows])

    parts, shifts = zip(*in_order(part, chunks(len(outlines)), workers), strict=True)
    geometry = BuildingGeometry.concatenate(list(parts))
    if roof_shift is not None:
        geometry = replace(geometry, moved=roof_shift, searched=True)
    return geometry, np.concatenate(shifts)


def building_geometry(
    outlines: Geometries, working_grid: WorkingGrid, enclosing: NDArray[np.bool_]
) -> BuildingGeometry:
    """Move outlines from post pixels to working pixels, and leave out outlines that cannot be buildings. enclosing : (N,)."""
    on_working_grid = transform_shapes(working_grid.post_to_work, outlines)
    larger = larger_than_buildings(on_working_grid, working_grid.gsd_m)
    on_working_grid = without(on_working_grid, larger | enclosing)
    grown = shapely.buffer(on_working_grid, BODY_M / working_grid.gsd_m, join_style="mitre", quad_segs=2)
    own, body = (Outlines.on(shapes, shape=working_grid.shape) for shapes in (on_working_grid, grown))
    left_out = np.select([larger, enclosing], [Reason.LARGE, Reason.ENCLOSING], "").astype(object)
    inside_share = _inside_share(on_working_grid, working_grid.shape)
    return BuildingGeometry(
        Sides.of(on_working_grid), own, body, _centres(on_working_grid)[:, ::-1], left_out, inside_share,
        np.zeros((len(outlines), 2), np.int64),
    )  # fmt: skip


def _inside_share(outlines: Geometries, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return (N,) the share of the area of outlines inside an image; 1 for empty outlines."""
    size, share = shape[::-1], np.ones(len(outlines))
    bounds = shapely.bounds(outlines)
    crossing = np.flatnonzero((bounds[:, :2] < 0).any(axis=1) | (bounds[:, 2:] > size).any(axis=1))
    areas = shapely.area(outlines[crossing])
    inside = shapely.area(shapely.clip_by_rect(outlines[crossing], 0, 0, *size))
    share[crossing] = np.divide(inside, areas, out=np.zeros(len(crossing)), where=areas > 0)
    return share


def _centres(outlines: Geometries) -> Points:
    bounds = shapely.bounds(outlines)
    return (bounds[:, :2] + bounds[:, 2:]) / 2
