"""Pixel positions: grids, windows of them, and the maps between pixels and the ground.

A grid is an odc-geo GeoBox: shape, affine and CRS. Rows first, always: (row, col), (h, w).
Pure functions, no input or output."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer
from pyproj.exceptions import ProjError
from shapely.errors import GEOSException, ShapelyError

from deepnets4eo.errors import GridError

Grid = GeoBox

REMEDY = "Correct it, e.g. with gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM and -a_srs."
NO_CRS_REMEDY = (
    "Georeference the other one, too: gdal_translate -a_srs EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM IN OUT, or gdal_edit.py -a_srs where it has "
    "a world file; an image that has only RPCs is put on the ground by gdalwarp -rpc."
)
NO_UTM = "EPSG:…"
EXCHANGED = "longitude and latitude seem to be exchanged. Write longitude first: ogr2ogr -swapxy OUT.gpkg IN."
FARTHEST = 1e12  # largest coordinate: the squares of larger ones are no longer exact
FARTHEST_DEGREES = (540.0, 91.0)  # east or west, north or south; what lies beyond is metres or pixels, or a mistake
FINEST = 16 * 2.0**-52  # least share of the coordinates that a pixel's side must be, or neighbours have the same ones
TRUE_TO_SCALE = 0.003  # by how much units of national grids and UTM differ from metres on the ground at the most, about
SAME_AREA = 0.001  # relative difference of areas within a raster that are taken for one
STEP_M = 100.0  # on the map, by which its scale is measured: far above rounding, far below what a projection changes in
WGS84_AXES_M = (6_378_137.0, 6_356_752.314245179)  # of the ellipsoid, for the CRSs that name none
MAX_CRS_LETTERS = 60  # of a code or a PROJ string; WKT has hundreds
READ_PX = 1024  # side of the blocks in which an image is read whole, each once
LABELS_READ_PX = 2048  # the same of a raster of labels, which has one byte a pixel


class Window(NamedTuple):
    """A rectangle of pixels from `row` and `col`, which may be negative, `height` by `width`; beyond the raster none is valid.

    >>> Window(-2, 3, 4, 5).clip((100, 6))
    Window(row=0, col=3, height=2, width=3)
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, cols) to index a (H, W) array; only for windows inside the array."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    @property
    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest (x, y) of its pixels, x along the columns."""
        return np.array([self.col, self.row], float), np.array([self.col + self.width, self.row + self.height], float)

    def holds(self, at: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (N,) bool: which (row, col) positions (N, 2) are in the window; NaN is never in it."""
        corner, size = np.array(self[:2]), np.array(self[2:])
        with np.errstate(invalid="ignore"):
            return np.asarray(((at >= corner) & (at < corner + size)).all(axis=1))

    def grow(self, margin_px: int) -> Window:
        """Return the window enlarged by `margin_px` on each side."""
        return Window(
            self.row - margin_px, self.col - margin_px, self.height + 2 * margin_px, self.width + 2 * margin_px
        )

    def clip(self, shape: tuple[int, int]) -> Window:
        """Return the part inside a raster of `shape` (h, w); height or width is 0 if no part is inside."""
        row, col = max(self.row, 0), max(self.col, 0)
        bottom, right = min(self.row + self.height, shape[0]), min(self.col + self.width, shape[1])
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))

    def move(self, rows: int, cols: int) -> Window:
        """Return the window moved by `rows` down and `cols` to the right."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def within(self, outer: Window) -> Window:
        """Return this window in the pixel coordinates of `outer`."""
        return self.move(-outer.row, -outer.col)


def apply_affine(affine: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (..., 2), x before y, by an affine: pixels to the ground by a grid's, back by its inverse.

    >>> apply_affine(Affine.scale(2), np.array([(1.0, 3.0)])).tolist()
    [[2.0, 6.0]]
    """
    x, y = points[..., 0], points[..., 1]
    return np.stack((affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f), axis=-1)


def transform_shapes(affine: Affine, shapes: Any) -> Any:
    """Map a shapely geometry, or an array of geometries, by an affine, only in x and y; missing geometries stay missing.

    >>> import shapely
    >>> transform_shapes(Affine.translation(10, 0), shapely.Point(1, 2)).wkt
    'POINT (11 2)'
    """
    return shapely.transform(shapes, lambda xy: apply_affine(affine, xy))


def whole(grid: Grid) -> Window:
    """Return the window that covers the grid."""
    return Window(0, 0, *grid.shape)


def crop(grid: Grid, window: Window) -> Grid:
    """Return the grid of a window, even if the window extends beyond the edge."""
    affine = grid.affine * Affine.translation(window.col, window.row)
    return GeoBox((window.height, window.width), affine, grid.crs)


def blocks(shape: tuple[int, int], block_px: int) -> list[Window]:
    """Non-overlapping windows covering `shape` in row order; the last ones are smaller."""
    height, width = shape
    return [
        Window(row, col, min(block_px, height - row), min(block_px, width - col))
        for row in range(0, height, block_px)
        for col in range(0, width, block_px)
    ]


def gsd_m(grid: Grid) -> tuple[float, float]:
    """Ground size of a pixel in metres down and to the right, at the centre; without a CRS a pixel counts as one metre.

    Units of a projection count as metres on the ground within a few thousandths; elsewhere they are scaled by its stretch.

    >>> web = GeoBox((10, 10), Affine(0.6, 0, 0, 0, -0.6, 8_399_737.9), "EPSG:3857")  # at 60° north
    >>> [round(side, 2) for side in gsd_m(web)]
    [0.3, 0.3]
    """
    if grid.crs is None:
        return 1.0, 1.0
    return _pixel_m(grid.crs, grid.affine, (grid.shape[0], grid.shape[1]))[:2]


@lru_cache(maxsize=1024)
def _pixel_m(crs: CRS, affine: Affine, shape: tuple[int, int]) -> tuple[float, float, float]:
    """Sides down and to the right, and area, of the pixel at the centre of a grid."""
    centre = apply_affine(affine, np.array([(shape[1] / 2, shape[0] / 2)]))
    steps = _metres_of_units(crs, centre)[0] @ [[affine.a, affine.b], [affine.d, affine.e]]
    right, down = np.hypot(*steps).tolist()
    return down, right, abs(float(np.linalg.det(steps)))


def pixel_sides_m(grid: Grid, pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return ground sizes (N, 2) of a pixel down and to the right at positions (N, 2), x before y; 1 m without a CRS.

    A single pair is returned if the sizes hardly differ, as on a grid in metres.

    >>> degrees = GeoBox((60, 1), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326")  # 60° north to the equator
    >>> (pixel_sides_m(degrees, np.array([(0.5, 0.5), (0.5, 59.5)])) / 1000).round().tolist()  # km
    [[111.0, 57.0], [111.0, 111.0]]
    """
    crs = grid.crs
    if crs is None:
        return np.ones((len(pixels), 2))
    middle = np.broadcast_to(gsd_m(grid), (len(pixels), 2))
    corners = np.array([(x, y) for x in (0, grid.shape[1]) for y in (0, grid.shape[0])], float)
    steps = np.array([[grid.affine.a, grid.affine.b], [grid.affine.d, grid.affine.e]])

    def sides(positions: NDArray[Any]) -> NDArray[np.float64]:
        on_map = apply_affine(grid.affine, np.asarray(positions, float))
        return np.hypot(*np.moveaxis(_metres_of_units(crs, on_map) @ steps, 1, 0))[:, ::-1]

    if not len(pixels) or (np.abs(sides(corners) / gsd_m(grid) - 1) <= SAME_AREA).all():
        return middle
    return sides(pixels)


def pixel_steps_m(grid: Grid, pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the metres to the true east and north (rows) of one pixel to the right and down (columns) at (N, 2) x before y; (N, 2, 2).

    Without a CRS a pixel is 1 m, and north is up. The north of a grid is true north only on the middle line of its projection.

    >>> polar = GeoBox((2, 2), Affine(1, 0, -1_500_000, 0, -1, 1_500_000), "EPSG:3413")  # at 180°: up is south-west
    >>> pixel_steps_m(polar, np.array([(1, 1)])).round(1).tolist()
    [[[-0.7, 0.7], [0.7, 0.7]]]
    """
    if grid.crs is None:
        return np.broadcast_to(np.array([[1.0, 0.0], [0.0, -1.0]]), (len(pixels), 2, 2))
    positions = apply_affine(grid.affine, np.asarray(pixels, float))
    units = None if grid.crs.geographic else _true_metres(grid.crs, positions)
    if units is None or not np.isfinite(units).all():
        units = _metres_of_units(grid.crs, positions)
    return units @ np.array([[grid.affine.a, grid.affine.b], [grid.affine.d, grid.affine.e]])


def pixel_areas_m2(grid: Grid, pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the ground area (N,) of a pixel at positions (N, 2), x before y; one figure if nearly equal; 1 m² without a CRS.

    >>> degrees = GeoBox((60, 1), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326")  # 60° north to the equator
    >>> [round(area / 1e6) for area in pixel_areas_m2(degrees, np.array([(0.5, 0.5), (0.5, 59.5)]))]  # km²
    [6310, 12309]
    """
    positions = apply_affine(grid.affine, np.asarray(pixels, float))
    if grid.crs is None or not np.isfinite(positions).any():
        return np.ones(len(positions))
    (west, south), (east, north) = np.nanmin(positions, axis=0), np.nanmax(positions, axis=0)
    middle = ((west + east) / 2, (south + north) / 2)
    frame = np.array([middle, (west, south), (west, north), (east, south), (east, north)])
    areas = _areas_of_units(grid.crs, frame)
    if (np.abs(areas - areas[0]) <= SAME_AREA * areas[0]).all():
        areas = np.full(len(positions), areas[0])
    else:
        areas = _areas_of_units(grid.crs, positions)
    return areas * abs(grid.affine.determinant)


def hectares_by_window(grid: Grid, windows: Sequence[Window]) -> NDArray[np.float64]:
    """Return the hectares (W,) of a pixel on the ground at the centre of each of W windows; without a CRS a pixel is 1 m²."""
    centres = [(window.col + window.width / 2, window.row + window.height / 2) for window in windows]
    return pixel_areas_m2(grid, np.array(centres)) / 10_000


def coarse_grid(grid: Grid, max_px: int) -> Grid:
    """Return a grid of the same ground with pixels no finer, at most `max_px` along a side."""
    factor = max(1.0, max(grid.shape) / max_px)
    height, width = (max(1, round(side / factor)) for side in grid.shape)
    return grid.zoom_to((height, width))


def mean_gsd_m(grid: Grid) -> float:
    """Return the square root of a pixel's area on the ground, metres; map units without a CRS."""
    if grid.crs is None:
        return math.sqrt(abs(grid.affine.determinant))
    return math.sqrt(_pixel_m(grid.crs, grid.affine, (grid.shape[0], grid.shape[1]))[2])


def metres_on_the_ground(crs: Any, position: tuple[float, float]) -> float:
    """Metres of one unit of a projected CRS at a position; 1 without a CRS.

    >>> round(metres_on_the_ground("EPSG:3857", (0.0, 8_399_737.9)), 2)  # at 60° north
    0.5
    """
    return mean_gsd_m(GeoBox((1, 1), Affine(1, 0, position[0], 0, -1, position[1]), crs))


def metric_crs(crs: Any, positions: NDArray[Any]) -> Any:
    """Return a CRS in metres on the ground around positions (N, 2): its own, else the UTM zone of the middle; else GridError.

    >>> metric_crs("EPSG:2154", np.array([(652_000.0, 6_862_000.0)]))  # Paris, in metres
    'EPSG:2154'
    >>> metric_crs("EPSG:3857", np.array([(1_670_000.0, 6_890_000.0)]))
    'EPSG:32633'
    """
    known = positions[np.isfinite(positions).all(axis=1)]
    if not len(known):
        return crs
    middle = known[np.argsort(known[:, 0], kind="stable")[len(known) // 2]]
    if np.allclose(_metres_of_units(CRS(crs), middle[None])[0], np.eye(2), atol=TRUE_TO_SCALE):
        return crs
    code = utm_code(crs, (float(middle[0]), float(middle[1])))
    if code == NO_UTM:
        raise GridError(f"there is no UTM zone at {middle.tolist()} in {crs}, so metres are not known. Check the CRS.")
    return code


def utm_code(crs: Any, position: tuple[float, float]) -> str:
    """Return the EPSG code of the UTM zone of a position; "EPSG:…" if there is no zone.

    >>> utm_code("EPSG:3857", (1_670_000.0, 6_890_000.0))
    'EPSG:32633'"""
    try:
        longitude, latitude = transformer(crs, "EPSG:4326").transform(*position)
    except GridError:
        return NO_UTM
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        return NO_UTM
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) % 60 + 1}"


def grow_shapes(grid: Grid, shapes: NDArray[Any], distance_m: float, pixel_m: float = 1.0) -> NDArray[Any]:
    """Shapes (N,) in a grid's coordinates, grown by metres on the ground; `pixel_m`: side of a pixel without CRS."""
    bounds = shapely.bounds(shapes)
    centres = np.nan_to_num((bounds[:, :2] + bounds[:, 2:]) / 2)
    if grid.crs is None:
        unit_m = pixel_m / math.sqrt(abs(grid.affine.determinant))
        metres = np.broadcast_to(unit_m * np.eye(2), (len(shapes), 2, 2))
    else:
        metres = _metres_of_units(grid.crs, centres)

    def through(maps: NDArray[np.float64], shapes: NDArray[Any], before: Any, after: Any) -> NDArray[Any]:
        xy, owner = shapely.get_coordinates(shapes, return_index=True)
        moved = np.einsum("nij,nj->ni", maps[owner], xy - before[owner]) + after[owner]
        return np.asarray(shapely.set_coordinates(shapes.copy(), moved))

    origin = np.zeros_like(centres)
    grown = shapely.buffer(through(metres, shapely.force_2d(shapes), centres, origin), distance_m, quad_segs=4)
    back = np.asarray(np.linalg.inv(metres), float)
    return through(back, np.asarray(grown), origin, centres)


def transformer(source: Any, target: Any) -> Transformer:
    """Return PROJ's map from one CRS to another, x before y. Errors: GridError if there is no such map."""
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise GridError(f"there is no way from {source} to {target}: {error}. Check both CRSs.") from error


def projected_extent(extent: Geometry, crs: CRS) -> Geometry | None:
    """Return an extent in another CRS; None if that CRS does not reach so far; GridError if there is no way to it."""
    box = extent.boundingbox
    try:
        projected: Geometry = extent.to_crs(crs, resolution=max(box.span_x, box.span_y) / 16)
    except ProjError as error:
        raise GridError(
            f"there is no way from {crs_text(extent.crs)} to {crs_text(crs)}: {error}. Check both CRSs."
        ) from error
    except (ValueError, OverflowError):  # corners at infinity make no ring
        return None
    return projected if all(math.isfinite(side) for side in projected.boundingbox.bbox) else None


def window_under(grid: Grid, other: Grid) -> Window:
    """Return the window of `grid` that `other` covers, with a margin of one pixel; the whole grid if the window is unknown."""
    extent: Geometry | None = other.extent
    if grid.crs is not None and grid.crs != other.crs:
        extent = projected_extent(other.extent, grid.crs)
    if extent is None:
        return whole(grid)
    box = extent.boundingbox
    corners = np.array([(x, y) for x in (box.left, box.right) for y in (box.bottom, box.top)])
    pixels = apply_affine(~grid.affine, corners)
    col, row = (math.floor(low) - 1 for low in pixels.min(axis=0))
    right, bottom = (math.ceil(high) + 1 for high in pixels.max(axis=0))
    covered = Window(row, col, bottom - row, right - col)
    return covered.clip((grid.shape[0], grid.shape[1]))


def is_unplaced(grid: Grid) -> bool:
    """Return whether a grid has neither a CRS nor a position, such as by a world file."""
    return grid.crs is None and grid.affine.is_identity


def only_one_placed(a: Grid, b: Grid) -> bool:
    """Return whether one of two grids is plain pixels and the other has a CRS or world file."""
    if a.crs is not None or b.crs is not None:
        return a.crs is None or b.crs is None
    return any(grid.affine.is_identity and other.affine.e < 0 for grid, other in ((a, b), (b, a)))


def overlap_share(a: Grid, b: Grid) -> float:
    """Share 0–1 of grid `a` that `b` covers, in pixels without any CRS; GridError where only one has a CRS."""
    if only_one_placed(a, b):
        if a.crs is None and b.crs is None:
            raise GridError("one raster has a world file and the other has none. Give both one, of the same place.")
        raise GridError(f"one file has a CRS and the other has none. {NO_CRS_REMEDY}")
    first, second = a.extent, b.extent
    if a.crs is None or b.crs is None or a.crs == b.crs:
        return _share(first, second)
    # one of both projections may not hold the other extent, e.g. a UTM zone the whole earth
    return max(_share(first, projected_extent(second, a.crs)), _share(projected_extent(first, b.crs), second))


def _share(first: Geometry | None, second: Geometry | None) -> float:
    if first is None or second is None:
        return 0.0
    area = first.geom.area
    try:
        return float(first.geom.intersection(second.geom).area / area) if area and math.isfinite(area) else 0.0
    except GEOSException:  # edges at infinity
        return 0.0


def axes_exchanged(bounds: tuple[float, ...], crs: Any, grid: Grid) -> str:
    """Return the remedy if a box in degrees (west, south, east, north) is on a grid only with longitudes and latitudes exchanged, else "".

    >>> grid = GeoBox((10, 10), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")  # at 15° east, 36° north
    >>> axes_exchanged((36.14, 15.0, 36.15, 15.001), "EPSG:4326", grid).split(".")[0]
    'longitude and latitude seem to be exchanged'
    """
    if grid.crs is None or not CRS(crs).geographic or not np.isfinite(bounds).all():
        return ""
    extent = projected_extent(grid.extent, CRS(crs))
    stated, turned = shapely.box(*bounds), shapely.box(bounds[1], bounds[0], bounds[3], bounds[2])
    exchanged = extent is not None and not extent.geom.intersects(stated) and extent.geom.intersects(turned)
    return EXCHANGED if exchanged else ""


def crs_text(crs: Any) -> str:
    """Return a CRS as messages name it: its code, or its name instead of many lines of WKT.

    >>> crs_text("EPSG:4326"), crs_text('GEOGCRS["of a town", DATUM["d", ELLIPSOID["e", 6378137, 298.2]], CS[ellipsoidal, 2]]')
    ('EPSG:4326', 'of a town')
    """
    text = str(crs)
    named = re.search(r'\[\s*"([^"]*)"', text)
    return named[1] if named and len(text) > MAX_CRS_LETTERS else text


def check_grid(grid: Grid, name: str) -> None:
    """Refuse the grid of raster `name` where its CRS has no place for it, its pixels no size on the ground, or `check_affine` does."""
    check_affine(grid.affine, (grid.shape[0], grid.shape[1]), name)
    box = grid.extent.boundingbox.bbox  # west, south, east, north
    if grid.crs is not None and grid.crs.geographic and (np.abs(box) > FARTHEST_DEGREES * 2).any():
        reach = f"reaches over {', '.join(f'{value:.6g}' for value in box)} by its CRS {crs_text(grid.crs)}"
        raise GridError(f"{name} {reach}, whose degrees end before: rather metres. {REMEDY}")
    try:
        sides = gsd_m(grid)
    except (ProjError, ShapelyError, ValueError, OverflowError) as error:  # PROJ, or GEOS for corners at infinity
        raise GridError(
            f"{name} does not lie where its CRS ({crs_text(grid.crs)}) is defined: {error}. {REMEDY}"
        ) from error
    if not all(math.isfinite(side) and side > 0 for side in sides):
        raise GridError(
            f"{name} has pixels of {sides[1]:g} × {sides[0]:g} m on the ground in {crs_text(grid.crs)}; expected above 0. {REMEDY}"
        )


def check_affine(affine: Affine, shape: tuple[int, int], name: str) -> None:
    """Refuse a transform that maps pixels to infinity, to one line, or to coordinates that do not differ."""
    numbers = tuple(affine)[:6]
    if not all(math.isfinite(number) for number in numbers):
        raise GridError(f"{name} has a georeference of {numbers}, expected six finite numbers. {REMEDY}")
    height, width = shape
    corners = apply_affine(affine, np.array([(0.0, 0.0), (width, 0), (0, height), (width, height)]))
    farthest = float(np.abs(corners).max())
    across, down = math.hypot(affine.a, affine.d), math.hypot(affine.b, affine.e)
    area = abs(affine.determinant)
    if not area > 1e-9 * across * down or min(across, down) <= FINEST * farthest or not farthest <= FARTHEST:
        reason = "pixels without an area, too far from the origin, or too small to have coordinates of their own"
        raise GridError(f"{name} has a georeference of {numbers}: {reason}. {REMEDY}")


def _metres_of_units(crs: CRS, positions: NDArray[Any]) -> NDArray[np.float64]:
    """Metres to the east and north (rows) of one map unit along x and y (columns), at positions (N, 2) of the map; (N, 2, 2)."""
    if crs.geographic:
        angle = float(crs.proj.axis_info[0].unit_conversion_factor)  # radians of a degree, or of a gradian
        return angle * _metres_per_radian(crs.proj.ellipsoid, angle * positions[:, 1])[:, :, None] * np.eye(2)
    unit = float(crs.proj.axis_info[0].unit_conversion_factor)
    nominal, true = np.broadcast_to(unit * np.eye(2), (len(positions), 2, 2)), _true_metres(crs, positions)
    if true is None:
        return nominal
    stretch = true.transpose(0, 2, 1) @ true / unit**2 - np.eye(2)
    stretched = np.any(np.abs(stretch) > 2 * TRUE_TO_SCALE, axis=(1, 2)) & np.all(np.isfinite(true), axis=(1, 2))
    return np.where(stretched[:, None, None], true, nominal)


def _true_metres(crs: CRS, positions: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return the metres to the true east and north of one unit of a projection, as `_metres_of_units`; None without a way to degrees."""
    unit = float(crs.proj.axis_info[0].unit_conversion_factor)
    to_geodetic, geodetic, ellipsoid = _to_geodetic(crs), crs.proj.geodetic_crs, crs.proj.ellipsoid
    if to_geodetic is None or geodetic is None or ellipsoid is None:
        return None
    step = STEP_M / unit
    around = positions[:, None] + step * np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)])  # (N, 5, 2)
    angle = float(geodetic.axis_info[0].unit_conversion_factor)  # a degree, or a gradian as in old French maps
    radians = angle * np.stack(to_geodetic.transform(around[..., 0], around[..., 1]), axis=-1)
    turned = radians[:, 0:4:2] - radians[:, 1:4:2]  # (N, along x or y, longitude or latitude)
    turned[..., 0] = (turned[..., 0] + math.pi) % (2 * math.pi) - math.pi  # across the antimeridian
    radii_m = _metres_per_radian(ellipsoid, radians[:, 4, 1])
    return np.asarray((turned * radii_m[:, None]).transpose(0, 2, 1) / (2 * step), float)


def _metres_per_radian(ellipsoid: Any, latitudes: NDArray[Any]) -> NDArray[np.float64]:
    """Metres on an ellipsoid of a radian of longitude and of latitude (columns), at latitudes (N,) in radians; (N, 2)."""
    major, minor = (ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre) if ellipsoid is not None else WGS84_AXES_M
    flattened = 1 - (minor / major) ** 2
    curved = 1 - flattened * np.sin(latitudes) ** 2
    return np.asarray(
        major * np.stack([np.cos(latitudes) / np.sqrt(curved), (1 - flattened) / curved**1.5], axis=-1), float
    )


@lru_cache(maxsize=64)
def _to_geodetic(crs: CRS) -> Transformer | None:
    """Return the map from a projection to longitudes and latitudes on its ellipsoid, or None if there is no such map."""
    try:
        return transformer(crs.proj, crs.proj.geodetic_crs)
    except GridError:
        return None


def _areas_of_units(crs: CRS, positions: NDArray[Any]) -> NDArray[np.float64]:
    """Square metres on the ground of a square of the map's unit, at positions (N, 2) of the map; (N,)."""
    return np.asarray(np.abs(np.linalg.det(_metres_of_units(crs, positions))))
