"""Evidence per building: footprints, two registered images and what else is there → one table.

Takes layers, footprints and their registration; works in one streaming pass over both images. A building that cannot
be judged keeps its row, with the status not_assessed and the reason; one without a usable pre image is post_only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.block import BODY_M, BuildingGeometry
from deepnets4eo.damage.evidence.collect import collect
from deepnets4eo.damage.evidence.columns import evidence_columns, post_columns_of_pre
from deepnets4eo.damage.evidence.store import BlockStore
from deepnets4eo.damage.evidence.table import LARGE, OUTSIDE, PRE_POST, EvidenceTable, assess_coverage
from deepnets4eo.damage.evidence.working_grid import COARSEST_PRE, WorkingGrid, make_working_grid
from deepnets4eo.damage.outline_limits import larger_than_buildings, without
from deepnets4eo.grid import apply_affine, gsd_m
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal.outline_points import Sides
from deepnets4eo.zonal.outlines import Outlines, chunks

if TYPE_CHECKING:
    from deepnets4eo.damage.footprints import Footprints
    from deepnets4eo.damage.registration import FootprintAlignment, Registration

Shapes = NDArray[np.object_]
Points = NDArray[np.float64]


def gather(
    pre: Layer | None,
    post: Layer,
    footprints: Footprints,
    registration: Registration | None,
    *,
    alignment: FootprintAlignment | None = None,
    aligned_on: Literal["pre", "post"] = "pre",
    dsm_pre: Layer | None = None,
    dsm_post: Layer | None = None,
    cloud_mask: Layer | None = None,
    workers: int = 2,
    progress: Callable[[float], None] | None = None,
    scratch: Path | None = None,
) -> EvidenceTable:
    """Gather the evidence of every building.

    registration : how pre lies against post; None or failed makes every building post_only, and so does a pre image
    that is much coarser than the post image.
    alignment : how the footprints must move to lie on the roofs of the image named by `aligned_on`; from the pre image
    they are carried on to the post image by the registration. None: they lie right on that image as they are.
    cloud_mask : any raster, not 0 where clouds hide the ground in either image.
    workers : blocks measured at the same time; the result does not depend on it.
    progress : called with the share of the work that is done, 0–1.
    scratch : folder for finished blocks, with which an interrupted job goes on; who made it removes it.

    returns : EvidenceTable, one row per footprint in their order.
    Errors: GridError where footprints and image cannot be put on one grid.
    Peak memory: some 250 MB a worker and 3 kB a building, whatever the size of the images and of the outlines.
    """
    canvas = make_working_grid(
        pre, post, registration, coarsest_pre=COARSEST_PRE, dsm_pre=dsm_pre, dsm_post=dsm_post, cloud=cloud_mask
    )
    carried = registration if aligned_on == "pre" and pre is not None else None
    outlines = footprints.in_pixels(post.grid)
    unreachable = shapely.is_empty(outlines) & ~shapely.is_empty(footprints.frame.geometry.to_numpy())
    outlined, shift_px = _placed(outlines, canvas, post, alignment, carried)
    outlined.left_out[unreachable] = OUTSIDE
    del outlines  # the pass needs the room
    store = None if scratch is None else BlockStore(scratch, canvas, outlined)
    sums = collect(canvas, outlined, workers=workers, progress=progress, store=store)
    coverage = assess_coverage(sums, outlined, canvas)
    paired = coverage.method == PRE_POST
    evidence, before = evidence_columns(sums, paired), post_columns_of_pre(sums, paired)
    return EvidenceTable.build(footprints.frame["id"].to_numpy(), evidence, coverage, shift_px, before)


def _placed(
    outlines: Shapes,
    canvas: WorkingGrid,
    post: Layer,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
) -> tuple[BuildingGeometry, Points]:
    """Buildings where the post image shows them, and how far (N, 2) each was moved, in its pixels (col, row)."""
    parts, shifts = [], []
    for rows in chunks(len(outlines)):
        moved = on_post(outlines[rows], post, alignment, registration, rows)
        parts.append(outline(moved, canvas))
        shifts.append(_centres(moved) - _centres(outlines[rows]))
    return BuildingGeometry.joined(parts), np.concatenate(shifts)


def on_post(
    outlines: Shapes,
    post: Layer,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
    rows: slice = slice(None),
) -> Shapes:
    """Outlines in post pixels, moved to where the post image shows the buildings.

    rows : which of the alignment's buildings they are.
    registration : carries them on from the pre image; None (or failed) where they lie on the post image already.
    """
    coordinates, owner = shapely.get_coordinates(outlines, return_index=True)
    if alignment is not None:
        along_row, along_col = gsd_m(post.grid)
        coordinates = coordinates + alignment.offsets_m[rows][owner] / (along_col, along_row)
    if registration is not None and registration.status != "failed":
        coordinates = apply_affine(~Affine(*np.asarray(registration.matrix, float).ravel()), coordinates)
    return shapely.set_coordinates(outlines.copy(), coordinates)


def outline(outlines: Shapes, canvas: WorkingGrid) -> BuildingGeometry:
    """Outlines from post pixels to working pixels, made ready for the pass; those larger than any building stay out."""
    placed = shapely.transform(outlines, lambda xy: apply_affine(canvas.post_to_work, xy))
    larger = larger_than_buildings(placed, canvas.gsd_m)
    placed = without(placed, larger)
    grown = shapely.buffer(placed, BODY_M / canvas.gsd_m, join_style="mitre", quad_segs=2)
    own, body = (Outlines.on(shapes, shape=canvas.shape) for shapes in (placed, grown))
    left_out = np.where(larger, LARGE, "").astype(object)
    return BuildingGeometry(Sides.of(placed), own, body, _centres(placed)[:, ::-1], left_out)


def _centres(outlines: Shapes) -> Points:
    bounds = shapely.bounds(outlines)
    return (bounds[:, :2] + bounds[:, 2:]) / 2
