"""Polygons of rubble with their volume, from cells that belong to buildings."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.grid import Grid
from deepnets4eo.points.rubble.cells import BuildingCells
from deepnets4eo.points.rubble.measure import BlockMeasures

LEAST_CELLS = 4  # smaller patches are noise of measurement


def rubble_polygons(measures: BlockMeasures, grid: Grid, ids: NDArray[Any]) -> gpd.GeoDataFrame:
    """Return patches of at least 4 touching rubble cells of one building: id, area_m2, volume_m3, highest_m above the
    terrain, terrain_m and geometry."""
    import shapely
    from rasterio.features import shapes

    cells = measures.rubble
    crs = None if grid.crs is None else grid.crs.proj
    traced = [
        (shapely.geometry.shape(outline), int(value))
        for outline, value in shapes(cells, mask=cells > 0, connectivity=4, transform=grid.affine)
    ]
    cell_m2 = abs(grid.affine.a * grid.affine.e)
    traced = [(shape, value) for shape, value in traced if shape.area >= LEAST_CELLS * cell_m2 * 0.99]
    outlines = np.array([shape for shape, _ in traced], dtype=object)
    volume, highest, terrain = _heaps(measures, grid, outlines)
    return gpd.GeoDataFrame(
        {
            "id": np.asarray(ids, dtype=object)[[value - 1 for _, value in traced]],
            "area_m2": shapely.area(outlines) if len(traced) else np.zeros(0),
            "volume_m3": volume,
            "highest_m": highest,
            "terrain_m": terrain,
        },
        geometry=outlines,
        crs=crs,
    )


def _heaps(measures: BlockMeasures, grid: Grid, outlines: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Volume (M,), greatest height (M,) and middle height of the terrain (M,) of patches."""
    if not len(outlines):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    cells = BuildingCells.of(outlines, grid)
    above = np.maximum(np.nan_to_num(cells.of_image(measures.above)), 0)
    volume = cells.total(above) * abs(grid.affine.a * grid.affine.e)
    return volume, cells.quantile(above, 1.0), cells.quantile(cells.of_image(measures.terrain), 0.5)
