"""Numbers of objects, counted by their centre: per polygon, and as maps of objects per hectare, written in strips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, Window, apply_affine, gsd_m
from deepnets4eo.jobs import output_lock
from deepnets4eo.polygons import centres
from deepnets4eo.rasters import CogWriter

if TYPE_CHECKING:
    import geopandas as gpd

HECTARE_M2 = 10_000.0
STRIP_PX = 512
MAX_CELLS = 200  # of a kernel's radius at most
MAX_IN_PIXEL = 16  # cells along a side


def density_grid(grid: Grid, cell_m: float) -> Grid:
    """Return cells of about `cell_m` metres that cover a grid from its first corner on, in its CRS.

    Errors: InputError for a side that is not above 0, or less than a sixteenth of a pixel.

    Parameters
    ----------
    grid : what is covered
    cell_m : side of a cell in metres, above 0

    Returns
    -------
    The grid of whole cells.

    Examples
    --------
    >>> tuple(density_grid(Grid((30, 50), Affine.scale(1.0), None), 20).shape)
    (2, 3)
    """
    if not (np.isfinite(cell_m) and cell_m > 0):
        raise InputError(f"cell_m is {cell_m}, expected a number of metres above 0.")
    row_m, col_m = _sides_m(grid)
    if cell_m * MAX_IN_PIXEL < max(row_m, col_m):
        raise InputError(
            f"cell_m is {cell_m}, but pixels have sides of {row_m:.6g} and {col_m:.6g} m: expected at least a sixteenth of a pixel. Choose "
            "larger cells, or check the georeference."
        )
    rows, cols = cell_m / row_m, cell_m / col_m
    shape = max(1, int(np.ceil(grid.shape[0] / rows - 1e-9))), max(1, int(np.ceil(grid.shape[1] / cols - 1e-9)))
    return Grid(shape, grid.affine * Affine.scale(cols, rows), grid.crs)


def density_map(
    objects: gpd.GeoDataFrame, cells: Grid, *, radius_m: float = 0.0, window: Window | None = None
) -> NDArray[np.float32]:
    """Return objects per hectare in each cell of a grid.

    Errors: GridError where only one of objects and cells has a CRS; InputError for a radius smaller than a cell, or of more
    than 200 cells.

    Parameters
    ----------
    objects : outlines or points, counted by their centre
    cells : grid of the cells, as from `density_grid`
    radius_m
        0 counts the objects in a cell; else each is spread over a disc of this radius in metres by the quartic kernel
        (Silverman, Density Estimation, 1986, eq. 4.5) at the cells' centres; near the grid's edge the map is too low.
    window : window of `cells`, by default all

    Returns
    -------
    (h, w) float32. Memory: the window and 40 bytes an object.

    Examples
    --------
    >>> import geopandas as gpd
    >>> cars = gpd.GeoDataFrame(geometry=gpd.points_from_xy([10.0, 20.0], [10.0, 60.0]))
    >>> density_map(cars, Grid((2, 1), Affine.scale(50), None)).tolist()
    [[4.0], [4.0]]
    """
    return _density(apply_affine(~cells.affine, _centroids(objects, cells)), cells, radius_m, window)


def write_density_map(objects: gpd.GeoDataFrame, cells: Grid, path: str | Path, *, radius_m: float = 0.0) -> Path:
    """Write `density_map` as a float32 COG, strip by strip, so that the whole map is never in memory.

    Errors: GridError if only one of objects and cells has a CRS; InputError for a radius that does not fit the cells;
    OutputError if the file cannot be written.

    Parameters
    ----------
    objects : outlines or points, counted by their centre
    cells : grid of the cells, as from `density_grid`
    path : file to write
    radius_m : as in `density_map`, in metres

    Returns
    -------
    `path`.
    """
    positions = apply_affine(~cells.affine, _centroids(objects, cells))
    with (
        output_lock(path),
        CogWriter(
            path, cells, dtype="float32", band_names=["objects_per_ha"], tags={"UNITS": "objects per hectare"}
        ) as file,
    ):
        height, width = cells.shape
        for row in range(0, height, STRIP_PX):
            strip = Window(row, 0, min(STRIP_PX, height - row), width)
            file.write(strip, _density(positions, cells, radius_m, strip))
    return Path(path)


def _density(
    positions: NDArray[np.float64], cells: Grid, radius_m: float, window: Window | None
) -> NDArray[np.float32]:
    """Return the map of a window; positions : (N, 2) column and row in cells."""
    window = window or Window(0, 0, *cells.shape)
    if not (np.isfinite(radius_m) and radius_m >= 0):
        raise InputError(f"radius_m is {radius_m}, expected a number of metres of 0 or more.")
    row_m, col_m = _sides_m(cells)
    if radius_m / min(row_m, col_m) > MAX_CELLS:
        raise InputError(
            f"radius_m is {radius_m}, more than {MAX_CELLS} cells of {min(row_m, col_m):.6g} m. Choose larger cells."
        )
    if 0 < radius_m < max(row_m, col_m):
        raise InputError(
            f"radius_m is {radius_m}, less than a cell of {max(row_m, col_m):.6g} m, so that objects between the centres of "
            "cells would not count. Choose smaller cells, or 0 to count what lies in each."
        )
    reach_row, reach_col = int(np.ceil(radius_m / row_m)), int(np.ceil(radius_m / col_m))
    col, row = (positions - [window.col, window.row]).T
    near = (row >= -reach_row) & (row < window.height + reach_row)
    near &= (col >= -reach_col) & (col < window.width + reach_col)
    row, col = row[near], col[near]
    out = np.zeros((window.height, window.width))
    if not radius_m:
        np.add.at(out, (np.floor(row).astype(int), np.floor(col).astype(int)), HECTARE_M2 / (row_m * col_m))
        return out.astype(np.float32)
    for down in range(-reach_row, reach_row + 1):
        for right in range(-reach_col, reach_col + 1):
            at_row, at_col = np.floor(row).astype(int) + down, np.floor(col).astype(int) + right
            square = ((at_row + 0.5 - row) * row_m) ** 2 + ((at_col + 0.5 - col) * col_m) ** 2
            share = np.maximum(0.0, 1 - square / radius_m**2) ** 2 * 3 / (np.pi * radius_m**2)
            inside = (at_row >= 0) & (at_row < window.height) & (at_col >= 0) & (at_col < window.width) & (share > 0)
            np.add.at(out, (at_row[inside], at_col[inside]), share[inside] * HECTARE_M2)
    return out.astype(np.float32)


def _sides_m(cells: Grid) -> tuple[float, float]:
    """Return the ground size of a cell; without a CRS the unit of the coordinates is the metre."""
    if cells.crs is not None:
        return gsd_m(cells)
    a = cells.affine
    return float(np.hypot(a.b, a.e)), float(np.hypot(a.a, a.d))


def _centroids(objects: gpd.GeoDataFrame, cells: Grid) -> NDArray[np.float64]:
    """Centres (N, 2) of the objects in the CRS of the cells; NaN for those without a geometry, which count nowhere."""
    crs = None if cells.crs is None else cells.crs.proj
    if (objects.crs is None) != (crs is None):
        raise GridError("one of objects and cells has a CRS, the other has none. Assign the missing one.")
    points = shapely.centroid(np.asarray(objects.geometry.to_numpy(), object))
    if objects.crs is not None and objects.crs != crs:
        points = objects.set_geometry(points, crs=objects.crs).to_crs(crs).geometry.to_numpy()
    return centres(points)
