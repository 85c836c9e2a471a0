"""Shapes in another CRS: long sides keep their course, and longitudes end at ±180° (RFC 7946, section 3.1.9).

`to_crs` is the only way of tables and series of lines and polygons from one CRS to another. A map of the corners only
moves the side between two corners: a side of 4° along the parallel of 60° is up to 830 m off in UTM.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from deepnets4eo.arrays import Floats
from deepnets4eo.degree_boxes import HALF_TURN
from deepnets4eo.errors import GridError

if TYPE_CHECKING:
    import geopandas as gpd

    Shapes = TypeVar("Shapes", gpd.GeoSeries, gpd.GeoDataFrame)

TURN = 360.0  # degrees
WGS84_RADIUS_M = 6_378_137.0
MAX_OFFSET_M = 0.05  # of a side from its true course
SHORT_SIDE_M = 250.0  # sides up to this length are less than 0.05 m off between 85° north and south
MAX_PIECES = 10_000  # of one side
ROUNDS = 3  # of adding points: the first estimate of their number holds for slightly curved sides
CYLINDERS = (
    "Mercator (",
    "Popular Visualisation Pseudo Mercator",
    "Equidistant Cylindrical",
    "Lambert Cylindrical Equal Area",
)
SAMPLES = np.array([0.25, 0.5, 0.75])  # of a side, at which its course is measured


def to_crs(shapes: Shapes, crs: Any) -> Shapes:
    """Return a GeoSeries or GeoDataFrame in another CRS.

    Sides that would be curved there get points, so that each stays within 0.05 m of its course. Shapes in degrees are cut
    at ±180°. Coordinates beyond the reach of the CRS become infinite. Raises GridError if there is no way between the CRSs.

    Examples
    --------
    >>> import geopandas as gpd
    >>> province = gpd.GeoSeries([shapely.box(13, 60, 17, 61)], crs="EPSG:4326")
    >>> in_metres = to_crs(province, "EPSG:32633")
    >>> bool(in_metres.contains(gpd.points_from_xy([500_000], [6_651_900])[0])[0])  # at 60.003° north
    True
    """
    target = CRS.from_user_input(crs)
    if shapes.crs is None:
        return shapes.to_crs(target)  # raises what geopandas raises
    with _with_way(shapes.crs, target):
        return _moved(shapes, target)


def _moved(shapes: Shapes, target: CRS) -> Shapes:
    geometries = np.asarray(shapes.geometry.to_numpy(), object)
    if _is_in_degrees(shapes.crs):
        geometries = cut_at_antimeridian(geometries)
    elif (turn := _turn_of(shapes.crs)) is not None:
        geometries = _cut_at_turn(geometries, turn)
    if shapes.crs == target:
        return _with_shapes(shapes, geometries) if _is_in_degrees(target) else shapes
    moved = _with_shapes(shapes, _with_points(geometries, shapes.crs, target)).to_crs(target)
    return _with_shapes(moved, cut_at_antimeridian(moved.geometry.to_numpy())) if _is_in_degrees(target) else moved


def degrees_of(shapes: NDArray[Any], crs: CRS) -> NDArray[Any]:
    """Return shapes (N,) of a CRS in WGS 84, as `to_crs` does without a table: cut at ±180° unless they are in degrees already.

    Raises GridError if there is no way between the CRSs.
    """
    target = CRS.from_epsg(4326)
    with _with_way(crs, target):
        transformer = Transformer.from_crs(crs, target, always_xy=True)
        turn = _turn_of(crs)
        shapes = shapes if turn is None else _cut_at_turn(shapes, turn)
        with_points = shapes if crs.is_geographic else _with_points(shapes, crs, target)
        moved = shapely.transform(with_points, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    return moved if crs.is_geographic else cut_at_antimeridian(moved)


def equal_areas_m2(shapes: NDArray[Any], crs: CRS) -> Floats:
    """Return the area (N,) of shapes on the ground, square metres. Raises GridError if there is no way to degrees.

    >>> round(float(equal_areas_m2(np.array([shapely.box(10, 40, 30, 70)]), CRS(4326))[0]) / 1e10)  # Mha
    422
    """
    degrees = degrees_of(shapes, crs)
    middle = np.nanmedian(shapely.get_coordinates(shapely.centroid(degrees))[:, 0]) if len(degrees) else 0.0
    target = CRS.from_string(f"+proj=cea +lat_ts=30 +lon_0={middle:.6f} +datum=WGS84 +units=m")
    transformer = Transformer.from_crs(4326, target, always_xy=True)
    return np.asarray(
        shapely.area(shapely.transform(degrees, lambda xy: np.column_stack(transformer.transform(*xy.T)))), float
    )


def in_degrees(shapes: Shapes) -> Shapes:
    """Return a GeoSeries or GeoDataFrame in WGS 84, cut at ±180°; unchanged without a CRS."""
    return shapes if shapes.crs is None else to_crs(shapes, "EPSG:4326")


@contextmanager
def _with_way(source: CRS, target: CRS) -> Iterator[None]:
    """Turn PROJ's error on two CRSs without a way between them into GridError."""
    try:
        yield
    except ProjError as error:
        raise GridError(f"there is no way from {source.name} to {target.name}: {error}. Check both CRSs.") from error


def _is_in_degrees(crs: CRS) -> bool:
    return bool(crs.is_geographic and np.isclose(crs.axis_info[0].unit_conversion_factor, np.pi / HALF_TURN))


def _turn_of(crs: CRS) -> float | None:
    """Return the width of the Earth in a projection on a cylinder, such as web map coordinates; None for any other CRS."""
    operation = crs.coordinate_operation
    if operation is None or not operation.method_name.startswith(CYLINDERS):
        return None
    middle = next(
        (float(value.value) for value in operation.params if value.name == "Longitude of natural origin"), 0.0
    )
    transformer = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    (west, east), _ = transformer.transform([middle - HALF_TURN / 2, middle + HALF_TURN / 2], [0.0, 0.0])
    return 2 * abs(east - west)


def _cut_at_turn(shapes: NDArray[Any], turn: float) -> NDArray[Any]:
    """Return shapes (N,) on a cylinder, cut at its two edges, as `cut_at_antimeridian` does in degrees."""
    scale = np.array([turn / TURN, 1.0])
    west, _, east, _ = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((east - west > turn / 2) | (np.maximum(east, -west) > turn / 2))
    if not len(rows):
        return shapes
    shapes = shapes.copy()
    cut = cut_at_antimeridian(shapely.transform(shapes[rows], lambda xy: xy / scale), far=np.inf)
    shapes[rows] = shapely.transform(cut, lambda xy: xy * scale)
    return shapes


def _with_shapes(shapes: Shapes, geometries: NDArray[Any]) -> Shapes:
    """Return a table or series with other geometries in the same CRS."""
    import geopandas as gpd

    if isinstance(shapes, gpd.GeoDataFrame):
        return shapes.set_geometry(geometries, crs=shapes.crs)
    return gpd.GeoSeries(geometries, index=shapes.index, crs=shapes.crs, name=shapes.name)


def _with_points(shapes: NDArray[Any], source: CRS, target: CRS) -> NDArray[Any]:
    """Return shapes (N,) with points on the sides that are curved in the target CRS."""
    west, south, east, north = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(np.maximum(east - west, north - south) > SHORT_SIDE_M / _metres(source))
    if not len(rows):
        return shapes
    transformer = Transformer.from_crs(source, target, always_xy=True)
    shapes = shapes.copy()
    for _ in range(ROUNDS):
        piece = _longest_pieces(
            shapes[rows], transformer, SHORT_SIDE_M / _metres(source), MAX_OFFSET_M / _metres(target)
        )
        rows, piece = rows[np.isfinite(piece)], piece[np.isfinite(piece)]
        if not len(rows):
            break
        shapes[rows] = shapely.segmentize(shapes[rows], piece)
    return shapes


def _metres(crs: CRS) -> float:
    """Return the metres of one unit of a CRS, of degrees those at the equator."""
    unit = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return unit * (WGS84_RADIUS_M if crs.is_geographic else 1.0)


def _longest_pieces(shapes: NDArray[Any], transformer: Transformer, short: float, offset: float) -> Floats:
    """Return (N,) the length of pieces of sides that keep each shape within `offset` of its course, infinite if no side needs points."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    start, stop, owner = xy[:-1], xy[1:], np.where(owner[1:] == owner[:-1], owner[1:], -1)
    length = np.hypot(*(stop - start).T)
    long = (owner >= 0) & (length > short)
    start, stop, owner, length = start[long], stop[long], owner[long], length[long]
    steps = np.concatenate([[0.0], SAMPLES, [1.0]])[:, None, None]
    along = np.stack(transformer.transform(*np.moveaxis(start + steps * (stop - start), -1, 0)), axis=-1)  # (5, S, 2)
    turned = along - along[0]
    if transformer.target_crs is not None and _is_in_degrees(transformer.target_crs):
        turned[..., 0] = (turned[..., 0] + HALF_TURN) % TURN - HALF_TURN
    with np.errstate(invalid="ignore", divide="ignore"):
        chord = turned[-1] / np.hypot(*turned[-1].T)[:, None]
        away = np.abs(turned[1:-1, :, 0] * chord[:, 1] - turned[1:-1, :, 1] * chord[:, 0]).max(axis=0)
        piece = np.maximum(length * np.sqrt(offset / away) * 0.9, length / MAX_PIECES)  # offsets grow by the square
    longest = np.full(len(shapes), np.inf)
    curved = np.isfinite(away) & (away > offset)
    np.minimum.at(longest, owner[curved], piece[curved])
    return longest


def cut_at_antimeridian(shapes: NDArray[Any], far: float = 90.0) -> NDArray[Any]:
    """Return shapes (N,) in degrees with parts that run the long way round, or beyond ±180, cut at the antimeridian.

    A part runs the long way round if a side is longer than half a turn, but the short ways round close its ring. far : the largest y.

    >>> parts = cut_at_antimeridian(np.array([shapely.box(179, 0, 182, 1)]))[0]
    >>> sorted(part.bounds for part in parts.geoms)
    [(-180.0, 0.0, -178.0, 1.0), (179.0, 0.0, 180.0, 1.0)]
    >>> across = shapely.Polygon([(179.9, 0), (-179.9, 0), (-179.9, 1), (179.9, 1)])
    >>> round(cut_at_antimeridian(np.array([across]))[0].area, 6)
    0.2
    """
    shapes = shapes.copy()
    west, _, east, _ = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):
        wide = east - west > HALF_TURN
    crossing = wide | (east > HALF_TURN) | (west < -HALF_TURN)
    for row in np.flatnonzero(crossing & np.isfinite(west) & np.isfinite(east)):
        parts = [_short_way_round(part) for part in shapely.get_parts(shapes[row])]
        if any(moved is not part for moved, part in parts) or east[row] > HALF_TURN or west[row] < -HALF_TURN:
            cut = [_cut(moved, far) for moved, _ in parts]
            shapes[row] = cut[0] if len(cut) == 1 else shapely.union_all(cut)
    return shapes


def _short_way_round(part: shapely.Geometry) -> tuple[shapely.Geometry, shapely.Geometry]:
    """Return a part whose sides take the short way round the Earth, or the part as it is, and the part."""
    if shapely.get_dimensions(part) < 1 or part.is_empty:
        return part, part
    rings = shapely.get_rings(part) if part.geom_type == "Polygon" else np.array([part])
    turned, first = list[Floats](), 0.0
    for ring in rings:
        xy = shapely.get_coordinates(ring)
        if not np.isfinite(xy).all():
            return part, part
        lon = np.unwrap(xy[:, 0], period=TURN)
        is_around_pole = len(rings) and part.geom_type == "Polygon" and abs(lon[-1] - lon[0]) > HALF_TURN
        if is_around_pole or (not turned and not 0 < np.ptp(lon) < HALF_TURN):
            return part, part  # around a pole or the Earth
        middle = (lon.min() + lon.max()) / 2
        first = middle if not turned else first
        turned.append(np.column_stack([lon - TURN * np.round((middle - first) / TURN), xy[:, 1]]))
    if all(np.array_equal(shapely.get_coordinates(ring), xy) for ring, xy in zip(rings, turned, strict=True)):
        return part, part
    if part.geom_type == "Polygon":
        return shapely.Polygon(turned[0], turned[1:]), part
    return shapely.LineString(turned[0]), part


def _cut(shape: shapely.Geometry, far: float) -> shapely.Geometry:
    """Cut a shape with longitudes of any turn into parts between −180 and 180; shapes keep their dimension."""
    dimension = shapely.get_dimensions(shape)
    shape = shape if shapely.is_valid(shape) else shapely.make_valid(shape)
    pieces = list[shapely.Geometry]()
    _, south, _, north = shapely.bounds(shape)
    for turn in (-1, 0, 1):
        middle = TURN * turn
        box = shapely.box(middle - HALF_TURN, max(-far, south - 1), middle + HALF_TURN, min(far, north + 1))
        inside = shapely.intersection(shape, box)
        parts = shapely.get_parts(shapely.get_parts(inside))
        kept = parts[shapely.get_dimensions(parts) == dimension]
        pieces += shapely.transform(kept, lambda xy, by=middle: xy - [by, 0.0]).tolist()
    return shapely.union_all(pieces) if pieces else shapely.Polygon()


def lonlat_box(shapes: NDArray[Any] | list[Any]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of shapes in degrees; west is greater than east if they are around ±180° (RFC 7946).

    The box takes the widest gap between the shapes as its outside, if that gap is not around ±180°.

    >>> lonlat_box([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -178, -16)])
    (179.0, -17.0, -178.0, -16.0)
    >>> lonlat_box([shapely.box(-5, 42, 8, 51)])
    (-5.0, 42.0, 8.0, 51.0)
    """
    parts = shapely.get_parts(cut_at_antimeridian(np.asarray(shapes, object)))
    west, south, east, north = shapely.total_bounds(parts).tolist()
    if not east - west > HALF_TURN:
        return west, south, east, north
    left, _, right, _ = shapely.bounds(parts).T
    order = np.argsort(left, kind="stable")
    reach = np.maximum.accumulate(right[order])
    gaps = left[order][1:] - reach[:-1]
    if not len(gaps) or gaps.max() <= TURN - (east - west):
        return west, south, east, north
    behind = int(np.argmax(gaps))
    return float(left[order][behind + 1]), south, float(reach[behind]), north


def lonlat_text(box: tuple[float, float, float, float]) -> str:
    """Return a box of `lonlat_box` as text.

    >>> lonlat_text((179.5, -17, -179.5, -16))
    'longitude 179.500000 to -179.500000 across 180°, latitude -17.000000 to -16.000000'
    """
    west, south, east, north = box
    across = " across 180°" if west > east else ""
    return f"longitude {west:.6f} to {east:.6f}{across}, latitude {south:.6f} to {north:.6f}"
