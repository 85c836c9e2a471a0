"""Rasters in degrees with longitudes from 0 to 360: shifted to −180 to 180, or to the longitudes of another grid."""

from __future__ import annotations

import math

from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import GridError
from deepnets4eo.grid import Grid, overlap_share

NEAR = 1e-6  # of a turn


def usual_longitudes(grid: Grid) -> Grid:
    """Return the grid turned around the Earth to between −180° and 180° if all of it lies east of 180° or west of −180°.

    >>> round(usual_longitudes(GeoBox((10, 10), Affine(0.1, 0, 274, 0, -0.1, 30), "EPSG:4326")).affine.c, 6)
    -86.0
    """
    if not _in_longitudes(grid):
        return grid
    turn, (west, east) = _turn(grid), _sides(grid)
    if -turn / 2 <= west + NEAR * turn and east - NEAR * turn <= turn / 2:
        return grid
    turns = math.floor((west + NEAR * turn) / turn + 0.5)
    beyond = turns and abs(turns) == abs(math.floor((east - NEAR * turn) / turn + 0.5))
    return _turned(grid, -turns) if beyond else grid


def turned_towards(grid: Grid, other: Grid) -> Grid:
    """Return the grid of degrees, moved by one turn around the Earth if it then covers more of another grid."""
    if not _in_longitudes(grid) or other.crs is None:
        return grid
    turn, (west, east) = _turn(grid), _sides(grid)
    ways = [0] + [1] * (west < -turn / 2 or _beyond(other)) + [-1] * (east > turn / 2 or _beyond(other))
    if len(ways) == 1:
        return grid
    return max((_turned(grid, way) for way in ways), key=lambda one: _share(other, one))


def columns_of_turns(grid: Grid) -> list[float]:
    """Return the column shifts that move pixels from usual longitudes onto a grid: 0, and also one turn if the grid extends beyond them."""
    if not _in_longitudes(grid):
        return [0.0]
    turn, (west, east) = _turn(grid), _sides(grid)
    columns = turn / grid.affine.a
    return [0.0] + [columns] * (east > (0.5 + NEAR) * turn) + [-columns] * (west < -(0.5 + NEAR) * turn)


def first_column_to_roll(grid: Grid) -> int:
    """Return the column at 180° of a raster around the whole Earth that does not start at −180°; 0 for any other raster."""
    if not _in_longitudes(grid) or grid.affine.a <= 0:
        return 0
    turn, (west, east) = _turn(grid), _sides(grid)
    if abs(east - west - turn) > grid.affine.a / 2 or east <= turn / 2 + grid.affine.a / 2:
        return 0
    return round((turn / 2 - west) / grid.affine.a)


def roll(grid: Grid, column: int) -> Grid:
    """Return the grid of a raster around the Earth after moving its columns from `column` on to the front."""
    return _turned(GeoBox(grid.shape, grid.affine * Affine.translation(column, 0), grid.crs), -1)


def _in_longitudes(grid: Grid) -> bool:
    return grid.crs is not None and bool(grid.crs.geographic) and not (grid.affine.b or grid.affine.d)


def _turn(grid: Grid) -> float:
    """Degrees, or gradians, of a turn around the Earth."""
    assert grid.crs is not None
    return 2 * math.pi / float(grid.crs.proj.axis_info[0].unit_conversion_factor)


def _sides(grid: Grid) -> tuple[float, float]:
    west, east = sorted((grid.affine.c, grid.affine.c + grid.affine.a * grid.shape[1]))
    return west, east


def _beyond(grid: Grid) -> bool:
    """Return whether a grid itself has longitudes beyond half a turn."""
    return _in_longitudes(grid) and max(map(abs, _sides(grid))) > _turn(grid) / 2


def _turned(grid: Grid, turns: int) -> Grid:
    return GeoBox(grid.shape, Affine.translation(turns * _turn(grid), 0) * grid.affine, grid.crs) if turns else grid


def _share(grid: Grid, layer: Grid) -> float:
    try:
        return overlap_share(grid, layer)
    except GridError:
        return 0.0
