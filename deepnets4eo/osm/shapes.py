"""Tagged features as polygons on a grid: areas as they are, lines and points as wide as they are drawn.

Takes tables of features in any CRS. Features that are missing, empty or not finite, and those off the grid, are left
out.

Widths are metres on the ground at the grid's centre, also on geographic and Mercator grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.grid import FARTHEST, Grid, gsd_m
from deepnets4eo.osm.reading import Features
from deepnets4eo.osm.rules import ClassMembers, OsmRules
from deepnets4eo.prefetch import in_order
from deepnets4eo.reprojection import to_crs
from deepnets4eo.zonal import Outlines, inverse_geotransform, to_pixels

POINT, LINE, RING, POLYGON, MULTIPOLYGON = 0, 1, 2, 3, 6  # shapely type ids
COLLECTIONS = (4, 5, 6, 7)  # of points, lines, polygons, anything; curves have higher ids, and are their only part
PIECE = 10_000  # features that a thread widens at a time
ARC_SIDES = 4  # sides of a quarter circle: round ends are true to 2 % of the width


class _PixelPlane(NamedTuple):
    """From ground coordinates to (x, y) metres from the grid's corner, along its columns and rows."""

    coefficients: Floats
    step_m: Floats

    @classmethod
    def of(cls, grid: Grid) -> _PixelPlane:
        along_rows, along_cols = gsd_m(grid)
        return cls(inverse_geotransform(grid), np.array([along_cols, along_rows]))

    def __call__(self, xy: Floats) -> Floats:
        return to_pixels(self.coefficients, xy) * self.step_m


def class_shapes(features: Sequence[Features], rules: OsmRules, grid: Grid) -> dict[str, NDArray[Any]]:
    """Polygons (N,) of each class, in metres from the grid's corner along its columns and rows, those that meet it.
    Memory: the features' own, about twice."""
    polygons: dict[str, list[NDArray[Any]]] = {name: [] for name in rules.names}
    plane = _PixelPlane.of(grid)
    size_m = np.array([grid.shape[1], grid.shape[0]]) * plane.step_m
    for part in features:
        if not len(part.table):
            continue
        shapes = _in_plane(part.table.geometry, grid, plane)
        for name, matched in rules.match(part.table, part.known_class).items():
            polygons[name].append(_draw(shapes, matched, size_m))
    return {name: np.concatenate([*parts, np.zeros(0, object)]) for name, parts in polygons.items()}


def area_shapes(areas: Sequence[Any], grid: Grid) -> NDArray[Any]:
    """Polygons (N,) of GeoSeries, in metres from the grid's corner along its columns and rows."""
    plane = _PixelPlane.of(grid)
    shapes = [_in_plane(area, grid, plane) for area in areas]
    parts = shapely.get_parts(np.concatenate(shapes)) if shapes else np.zeros(0, object)
    return parts[shapely.get_type_id(parts) == POLYGON]


def metre_outlines(shapes: NDArray[Any], grid: Grid) -> Outlines:
    """Such polygons on the grid's pixels."""
    along_rows, along_cols = gsd_m(grid)
    coefficients = np.array([[0, 1 / along_cols, 0], [0, 0, 1 / along_rows]])
    return Outlines(shapes, coefficients, (grid.shape[0], grid.shape[1]))


def _in_plane(series: Any, grid: Grid, plane: _PixelPlane) -> NDArray[Any]:
    if grid.crs is not None and series.crs is not None and series.crs != grid.crs.proj:
        series = to_crs(series, grid.crs.proj)
    return shapely.transform(_near(series.to_numpy()), plane)


def _near(shapes: NDArray[Any]) -> NDArray[Any]:
    """Return the shapes, missing if their coordinates are not finite or so large that GEOS cannot compute with them."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    with np.errstate(invalid="ignore"):
        far = owner[~(np.abs(xy) <= FARTHEST).all(axis=1)]
    if not len(far):
        return shapes
    shapes = shapes.copy()
    shapes[far] = None
    return shapes


def _draw(shapes: NDArray[Any], matched: ClassMembers, size_m: Floats) -> NDArray[Any]:
    """Polygons of one class's features, those that meet the grid."""
    owner = np.flatnonzero(matched.member)
    parts = shapes[owner]
    outlined = matched.outline[owner] & np.isin(shapely.get_type_id(parts), (POLYGON, MULTIPOLYGON))
    parts[outlined] = shapely.boundary(parts[outlined])
    kind = shapely.get_type_id(parts)
    while np.isin(
        kind, COLLECTIONS
    ).any():  # collections may hold collections; copies of plain parts would take seconds
        parts, inner = shapely.get_parts(parts, return_index=True)
        owner, kind = owner[inner], shapely.get_type_id(parts)
    areas = parts[(kind == POLYGON) & _meets(parts, 0, size_m)]
    drawn = [areas]
    for of_kind, widths in ((np.isin(kind, (LINE, RING)), matched.line_m), (kind == POINT, matched.point_m)):
        half_m = widths[owner] / 2
        use = of_kind & np.isfinite(half_m) & _meets(parts, half_m, size_m)
        if use.any():
            drawn += in_order(_widen, _pieces(parts[use], half_m[use]))
    return np.concatenate(drawn)


def _pieces(parts: NDArray[Any], half_m: Floats) -> list[tuple[NDArray[Any], Floats]]:
    cuts = np.arange(PIECE, len(parts), PIECE)
    return list(zip(np.split(parts, cuts), np.split(half_m, cuts), strict=True))


def _widen(piece: tuple[NDArray[Any], Floats]) -> NDArray[Any]:
    parts, half_m = piece
    return np.asarray(shapely.buffer(parts, half_m, quad_segs=ARC_SIDES))


def _meets(parts: NDArray[Any], margin_m: Any, size_m: Floats) -> Mask:
    """Return which parts are finite and reach into the grid."""
    left, top, right, bottom = shapely.bounds(parts).T
    meets = (right >= -margin_m) & (bottom >= -margin_m)
    meets &= (left <= size_m[0] + margin_m) & (top <= size_m[1] + margin_m)
    return meets & np.isfinite(right) & np.isfinite(bottom) & np.isfinite(left) & np.isfinite(top)
