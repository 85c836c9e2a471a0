"""Overlap of files that belong together: what covers what, and what of it hinders a job."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import abbreviate
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.grid import NO_CRS_REMEDY, axes_exchanged, mean_gsd_m, only_one_placed, overlap_share, projected_extent
from deepnets4eo.outputs import count_of
from deepnets4eo.zonal import FinePixels

if TYPE_CHECKING:
    from deepnets4eo.inspection.files import Inspection

RASTERS = {"raster", "mosaic", "cube", "embeddings"}  # kinds of inspections
PIXELS = "pixels of the image, which has no CRS: x is the column, y the row"
WORLD_FILE = "coordinates of the image's world file, which states no CRS"
SAMPLES = 256  # cells along each side of the extent of outlines
LON_LAT = CRS("EPSG:4326")
MAX_FILES_BY_PAIR = 6  # up to so many files, each pair has a line: 15 lines fit a screen


class Overlaps(NamedTuple):
    """Overlap of files. lines : what covers what; problems : what hinders a job, each with its remedy."""

    lines: list[str]
    problems: list[str]


def overlaps(inspections: Sequence[Inspection]) -> Overlaps:
    """Return how much each placed file covers each other, and what hinders a job; one line if three or more have one grid.

    More than six files are reported by the places at which they lie, as tiles of an image do.

    Outlines in pixels have a problem unless every image among the files is without a CRS."""
    images = [item for item in inspections if item.kind in RASTERS]
    if images and all(item.grid is not None and item.grid.crs is None for item in images):
        for item in inspections:
            _take_as_own(item, plain=all(image.grid is not None and image.grid.affine.is_identity for image in images))
    with_grid = [item for item in inspections if item.grid is not None]
    if len(with_grid) > 2 and all(item.grid == with_grid[0].grid for item in with_grid):
        return Overlaps([f"{', '.join(item.path for item in with_grid)} lie on one grid."], [])
    if len(with_grid) > MAX_FILES_BY_PAIR:
        return _by_site(with_grid)
    lines, problems = list[str](), list[str]()
    for pair in combinations(with_grid, 2):
        overlap = _overlap(*pair)
        lines += overlap.lines
        problems += overlap.problems
    return Overlaps(list(dict.fromkeys(lines)), list(dict.fromkeys(problems)))  # a file may be given twice


def _by_site(items: Sequence[Inspection]) -> Overlaps:
    """Return where many files lie, and what hinders a job that takes them together, each problem with one pair of files as its example."""
    plain = [item for item in items if item.grid is not None and item.grid.crs is None]
    sites = _sites([item for item in items if item.grid is not None and item.grid.crs is not None])
    lines = [
        f"{len(site)} files overlap or lie next to each other: {abbreviate([item.path for item in site])}."
        for site in sites
        if len(site) > 1
    ]
    problems = []
    if len(sites) > 1:
        example = _apart(sites[0][0], sites[1][0])
        problems.append(f"the files lie at {len(sites)} places that do not overlap, for example {example}")
    if plain:
        names = abbreviate([item.path for item in plain])
        lines.append(
            f"{count_of(len(plain), 'file')} without a position: {names}. Those of one size are laid pixel on pixel."
        )
    if plain and sites:
        example = f"{plain[0].path} has none. {sites[0][0].path} has one."
        problems.append(
            f"{len(plain)} of {len(items)} files have no CRS, so no job takes all of them: {example} {NO_CRS_REMEDY}"
        )
    for site in sites:
        for pair in combinations(site, 2):
            problems += _too_coarse(*pair)
    return Overlaps(lines, list(dict.fromkeys(problems)))


def _sites(items: Sequence[Inspection]) -> list[list[Inspection]]:
    """Return the files that overlap or touch, up to a pixel, in groups; the largest group first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    grids = [item.grid for item in items if item.grid is not None]
    if not grids:
        return []
    crs = grids[0].crs if all(grid.crs == grids[0].crs for grid in grids) else None
    shapes = []
    for grid in grids:
        extent = projected_extent(grid.extent, crs or LON_LAT)
        box = None if extent is None else extent.boundingbox
        pixel = 0.0 if box is None else max(box.span_x / grid.shape[1], box.span_y / grid.shape[0])
        shapes.append(shapely.Point() if extent is None else shapely.buffer(extent.geom, pixel / 2, join_style="mitre"))
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(shapes), len(shapes)))
    number, positions = connected_components(graph, directed=False)
    groups = [[items[int(row)] for row in np.flatnonzero(positions == position)] for position in range(number)]
    return sorted(groups, key=len, reverse=True)


def _take_as_own(item: Inspection, *, plain: bool) -> None:
    """Take outlines as coordinates of images without CRS, as `damage` does. plain : whether no image has a world file"""
    if item.in_pixels is None or item.in_pixels.problem not in item.problems:
        return
    item.problems.remove(item.in_pixels.problem)
    item.facts["coordinates"] = PIXELS if plain else WORLD_FILE
    left, top, right, bottom = item.in_pixels.box
    cell = Affine.translation(left, top) * Affine.scale((right - left) / SAMPLES, (bottom - top) / SAMPLES)
    item.grid = GeoBox((SAMPLES, SAMPLES), cell, None)


def _overlap(a: Inspection, b: Inspection) -> Overlaps:
    """Return how much each of two files covers the other, or the reason why that is unknown."""
    assert a.grid is not None and b.grid is not None  # noqa: PT018
    first, second = sorted((a.path, b.path))
    rasters = {a.kind, b.kind} <= RASTERS
    if rasters and a.grid.shape == b.grid.shape and only_one_placed(a.grid, b.grid):
        return Overlaps(
            [
                f"{first} and {second} are of one size and only one has a place: as layers of a scene they lie pixel on pixel."
            ],
            [],
        )
    if rasters and a.grid == b.grid and a.grid.crs is None:
        return Overlaps(
            [
                f"{first} and {second} are of one size, without a position: they are laid pixel on pixel. Only a job measures whether they show one place."
            ],
            [],
        )
    try:
        shares = {(b.path, a.path): overlap_share(a.grid, b.grid), (a.path, b.path): overlap_share(b.grid, a.grid)}
    except DeepNets4EOError as error:
        return Overlaps([], [f"{a.path} and {b.path}: {error}"])
    if not any(shares.values()):
        if rasters and len(_sites([a, b])) == 1:
            return Overlaps(
                [f"{first} and {second} lie next to each other, as tiles of one image do: a job takes their folder."],
                [],
            )
        return Overlaps([], [_apart(a, b)])
    lines = [f"{cover} covers {share:.1%} of {covered}" for (cover, covered), share in shares.items()]
    return Overlaps(lines, _too_coarse(a, b))


def _apart(a: Inspection, b: Inspection) -> str:
    """Return the problem that two files do not overlap, and what may be wrong."""
    assert a.grid is not None and b.grid is not None  # noqa: PT018
    for path, grid, other in ((a.path, a.grid, b.grid), (b.path, b.grid, a.grid)):
        if grid.crs is not None and (remedy := axes_exchanged(grid.extent.boundingbox.bbox, grid.crs, other)):
            return f"{a.path} and {b.path} do not overlap: in {path}, {remedy}"
    if a.grid.crs is None:
        outlines = [item.path for item in (a, b) if item.in_pixels is not None and item.facts["coordinates"] != PIXELS]
        remedy = f" If {outlines[0]} is in pixels, state --footprints-crs pixels." if outlines else ""
        return f"{a.path} and {b.path} do not overlap in their coordinates, which have no CRS. Give files of one image.{remedy}"
    return (
        f"{a.path} and {b.path} do not overlap, so no job takes both. Compare their extents: where both show one site, the CRS or the "
        "position of one of them is wrong; else give files of one site."
    )


def _too_coarse(a: Inspection, b: Inspection) -> list[str]:
    """Return a problem if one is an image whose pixels are too coarse to assess the buildings of the other, by their areas."""
    lines = []
    for image, outlines in ((a, b), (b, a)):
        if (
            image.kind in RASTERS
            and image.grid is not None
            and image.grid.crs is not None
            and outlines.areas_m2 is not None
        ):
            gsd = mean_gsd_m(image.grid)
            if problem := FinePixels().problem(outlines.areas_m2, gsd):
                lines.append(
                    f"pixels of {gsd:.2g} m in {image.path} are {problem} `damage` refuses them; `flood` and `change` do not."
                )
    return lines
