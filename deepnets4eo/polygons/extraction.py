"""Label rasters to polygons: one per connected region, with its class and area, simplified or right-angled on demand."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import Grid, Window, gsd_m, pixel_areas_m2, transform_shapes
from deepnets4eo.options import option_group
from deepnets4eo.polygons.regions import TRACE_PX, Regions, join_groups, trace_outlines
from deepnets4eo.polygons.smoothing import make_right_angled, simplify_together, with_shared_corners, without_stairs
from deepnets4eo.polygons.unknown_labels import warn_of_unknown_labels
from deepnets4eo.polygons.vector_files import write_tables
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.reprojection import equal_areas_m2

if TYPE_CHECKING:
    import geopandas as gpd


log = logging.getLogger(__name__)
CHUNK = 2**16  # polygons that are mapped at once
MIN_PART = 0.01  # of a side of the raster, from which the pixels of a region are compared
MAX_UNLIKE = 1e-3  # relative difference between the areas of a region's pixels, up to which its middle stands for all
SURELY = 0.9  # of the least area: pixels are not all of one size


@option_group
class Shaping:
    """Options for shaping the outlines of regions: remove small ones, then simplify, then make right-angled.

    Errors: InputError for a number below 0.

    Parameters
    ----------
    min_area_m2 : regions below this area in square metres are removed
    simplify_m
        Tolerance of the outline in metres, after staircases of single pixels were cut at mid-side: a distance
        (Douglas-Peucker), for several classes the root of an area (Visvalingam-Whyatt); 0 keeps every pixel corner.
    right_angles : square outlines that stay similar (intersection over union of at least 0.85) and that the raster's edge does not cut

    Examples
    --------
    >>> Shaping(min_area_m2=20, right_angles=True)
    Shaping(min_area_m2=20.0, simplify_m=0.0, right_angles=True)
    """

    min_area_m2: float = Field(default=0.0, ge=0)
    simplify_m: float = Field(default=0.0, ge=0)
    right_angles: bool = False


def polygonize(
    labels: LayerLike,
    classes: Mapping[int, str] | None = None,
    shaping: Shaping | None = None,
    *,
    legend: Legend | None = None,
    block_px: int = TRACE_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> gpd.GeoDataFrame:
    """Turn a label raster into polygons.

    Parameters
    ----------
    labels : path, array or Layer: one band of whole numbers; void (255) and nodata never become polygons
    classes : label value → class name of what is traced, by default every value under its own number
    shaping : how outlines are simplified, by default not at all
    legend
        What the values in the file mean. Where all of its classes are traced, other values than those and void are refused.
    block_px : side of the blocks that are read at once, pixels
    workers : threads, by default one per core
    progress : called with the share of blocks done, 0–1

    Returns
    -------
    GeoDataFrame in the raster's CRS, in the order of the regions' first pixels: `id` text, `class` text, `value`,
    `area_m2` (as counted in pixels), `geometry` valid Polygon, holes kept. Simplified classes keep common borders.

    Raises
    ------
    InputError
        Several bands, fractions, labels below 0, or classes that are no mapping of whole numbers.
    LabelError
        Values that `legend` lacks, with the pixels of the first block that has any.

    Peak memory: per worker 40 bytes a pixel of a block; and all polygons.

    >>> buildings = polygonize(Layer.open(np.array([[1, 1, 0], [1, 1, 0]], np.uint8)), {1: "building"})
    >>> buildings[["id", "class", "area_m2"]].values.tolist()
    [['1', 'building', 4.0]]
    """
    import geopandas as gpd
    import pandas as pd

    tables = _tables(labels, classes, shaping, legend=legend, block_px=block_px, workers=workers, progress=progress)
    return gpd.GeoDataFrame(pd.concat(tables, ignore_index=True))


def write_polygons(
    labels: LayerLike,
    path: str | Path,
    classes: Mapping[int, str] | None = None,
    shaping: Shaping | None = None,
    *,
    legend: Legend | None = None,
    progress: Callable[[float], None] | None = None,
) -> Counter[str]:
    """Write the table that `polygonize` returns, without ever holding the whole table in memory.

    Parameters
    ----------
    path : the file; its suffix (.gpkg, .geojson, .fgb, .parquet, .geoparquet) selects the format
    labels, classes, shaping, legend, progress : as for `polygonize`

    Returns
    -------
    Number of polygons of each class.

    Raises
    ------
    InputError, LabelError
        As for `polygonize`, and for another suffix.
    OutputError
        The file cannot be written.

    Peak memory: per worker 40 bytes per pixel of a block, and 13 bytes per corner; all polygons if outlines are shaped.
    """
    counts: Counter[str] = Counter()
    tables = _tables(labels, classes, shaping, legend=legend, progress=progress)

    def count_each() -> Iterator[gpd.GeoDataFrame]:
        for table in tables:
            counts.update(table["class"])
            yield table

    write_tables(count_each(), path)
    return counts


def _tables(
    labels: LayerLike,
    classes: Mapping[int, str] | None,
    shaping: Shaping | None,
    *,
    legend: Legend | None,
    **tracing: Any,
) -> Iterator[gpd.GeoDataFrame]:
    """Yield the table of `polygonize` in parts, or in one part if outlines are shaped."""
    shaping = shaping or Shaping()
    if classes is not None and not (isinstance(classes, Mapping) and all(isinstance(key, Integral) for key in classes)):
        raise InputError(f'classes are {classes!r}, expected label values as whole numbers, such as {{1: "building"}}.')
    labels = Layer.open(labels, labels=True)
    labels.check_position("the label raster")
    if legend is not None and (note := labels.other_legend_note(legend)) is not None:
        log.warning("%s", note)
    values = None if classes is None else list(classes)
    complete = legend is not None and (values is None or set(legend.values) <= set(values))
    read = None if legend is None else lambda window: _read_in_legend(labels, legend, window, complete=complete)
    _warn_of_hidden_class(labels, classes, legend)
    if legend is not None and not complete and labels.dtype.kind in "iu" and labels.count == 1:
        warn_of_unknown_labels(labels, legend)
    groups = trace_outlines(labels, values, read=read, least_px=_least_px(labels, shaping), **tracing)
    if shaping.simplify_m or shaping.right_angles:
        groups = iter([join_groups(groups)])
    count = 0
    for regions in groups:
        table = _table(regions, labels, classes, shaping, count)
        count += len(table)
        yield table


def _table(
    regions: Regions, labels: Layer, classes: Mapping[int, str] | None, shaping: Shaping, count: int
) -> gpd.GeoDataFrame:
    """Return the table of some regions, numbered from `count` + 1."""
    import geopandas as gpd

    area_m2 = areas_m2(regions.polygons, labels.grid)
    large = area_m2 >= shaping.min_area_m2
    regions, area_m2 = Regions(regions.polygons[large], regions.values[large]), area_m2[large]
    return gpd.GeoDataFrame(
        {
            "id": [str(number) for number in range(count + 1, count + len(area_m2) + 1)],
            "class": [classes[value] if classes is not None else str(value) for value in regions.values.tolist()],
            "value": regions.values,
            "area_m2": area_m2,
        },
        geometry=_on_the_ground(regions, labels, shaping),
        crs=labels.grid.crs.proj if labels.grid.crs is not None else None,
    )


def _least_px(labels: Layer, shaping: Shaping) -> int:
    """Pixels that a region has at least, however large those pixels are that the raster's middle and corners do not show."""
    corners = _corners(labels.grid)
    points = np.vstack([corners, corners.mean(axis=0)])
    return max(1, int(SURELY * shaping.min_area_m2 / pixel_areas_m2(labels.grid, points).max()))


def areas_m2(polygons: NDArray[Any], grid: Grid) -> Floats:
    """Return the ground area of each region (N,) on pixel corners, by the pixel size at this region only.

    Regions that are so wide that their pixels differ in area are measured in an equal-area projection.
    """
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    areas = shapely.area(polygons).astype(float) * pixel_areas_m2(grid, np.vstack([_corners(grid), centres]))[4:]
    if grid.crs is not None and (wide := _of_unlike_pixels(polygons, grid)).size:
        areas[wide] = equal_areas_m2(transform_shapes(grid.affine, polygons[wide]), grid.crs.proj)
    return areas


def _of_unlike_pixels(polygons: NDArray[Any], grid: Grid) -> Indices:
    """Return the rows of regions whose pixels differ in area, by the corners and the middle of their bounds."""
    bounds = shapely.bounds(polygons)
    sides = (bounds[:, 2:] - bounds[:, :2]) / np.array(grid.shape[::-1])
    wide = np.flatnonzero(sides.max(axis=1, initial=0.0) > MIN_PART)
    if not wide.size:
        return wide
    west, north, east, south = bounds[wide].T
    points = [(west, north), (east, north), (west, south), (east, south), ((west + east) / 2, (north + south) / 2)]
    of_pixels = pixel_areas_m2(grid, np.concatenate([np.stack(point, axis=1) for point in points])).reshape(5, -1)
    return wide[np.ptp(of_pixels, axis=0) > MAX_UNLIKE * of_pixels.max(axis=0)]


def _corners(grid: Grid) -> Floats:
    height, width = grid.shape
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], float)


def _warn_of_hidden_class(labels: Layer, classes: Mapping[int, str] | None, legend: Legend | None) -> None:
    """Warn where the value of a traced class is the raster's nodata value."""
    value = labels.nodata
    if classes is None or value is None or not float(value).is_integer():
        return
    stored = np.array([int(value)])
    name = classes.get(int((stored if legend is None else legend.from_file(stored))[0]))
    if name is not None:
        log.warning(
            '%s declares %g as nodata, which is its value for "%s": of that class nothing is traced. Remove that, e.g. with '
            "gdal_edit.py -unsetnodata FILE.", labels.source, value, name,
        )  # fmt: skip


def _read_in_legend(labels: Layer, legend: Legend, window: Window, *, complete: bool) -> tuple[NDArray[Any], Mask]:
    """Read the legend's labels in a window (1, h, w) and the mask of valid pixels; complete : refuse other values."""
    written, valid = labels.read(window)
    data = legend.from_file(written)
    if not complete:
        return data, valid
    try:
        legend.check(data[0][valid], f"{labels.source}, near row {window.row}, column {window.col},")
    except LabelError as error:
        raise LabelError(f"{error} Or name the classes to trace, e.g. with --classes.") from error
    return data, valid


def _on_the_ground(regions: Regions, labels: Layer, shaping: Shaping) -> NDArray[Any]:
    """Outlines in the raster's CRS, shaped, in place of those in pixels, so that both are not held at once."""
    if shaping.simplify_m or shaping.right_angles:
        return _shaped(regions, labels, shaping)
    polygons, rows_run_down = (
        regions.polygons,
        labels.grid.affine.determinant < 0,
    )  # which turns the rings as they should be
    for start in range(0, len(polygons), CHUNK):
        ground = transform_shapes(labels.grid.affine, polygons[start : start + CHUNK])
        polygons[start : start + CHUNK] = ground if rows_run_down else shapely.orient_polygons(ground)
    return polygons


def _shaped(regions: Regions, labels: Layer, shaping: Shaping) -> NDArray[Any]:
    """Outlines in the raster's CRS, simplified or right-angled; one that rounding made invalid stays as it was traced."""
    polygons, (row_m, col_m) = regions.polygons, gsd_m(labels.grid)
    scale = Affine.scale(col_m, row_m)
    if shaping.simplify_m and not shaping.right_angles and len(np.unique(regions.values)) > 1:
        smooth = without_stairs(with_shared_corners(polygons))
        shaped = simplify_together(transform_shapes(scale, smooth), shaping.simplify_m)
    else:
        shaped = _shape(polygons, scale, shaping, _uncut(polygons, labels.shape))
    ground = transform_shapes(labels.grid.affine * ~scale, shaped)
    broken = ~shapely.is_valid(ground)
    ground[broken] = transform_shapes(labels.grid.affine, polygons[broken])
    return shapely.orient_polygons(ground)


def _uncut(polygons: NDArray[Any], shape: tuple[int, int]) -> Mask:
    """Return (N,) whether each region is clear of the raster's edge, since the edge makes no real corners."""
    left, top, right, bottom = shapely.bounds(polygons).T
    return (left > 0) & (top > 0) & (right < shape[1]) & (bottom < shape[0])


def _shape(polygons: NDArray[Any], scale: Affine, shaping: Shaping, uncut: Mask) -> NDArray[Any]:
    """Outlines in metres, simplified and made right-angled each by itself."""
    gsd = (scale.a + scale.e) / 2
    tolerance = shaping.simplify_m or gsd
    smooth = transform_shapes(scale, without_stairs(polygons))
    simple = shapely.simplify(smooth, tolerance, preserve_topology=True)
    if not shaping.right_angles:
        return simple
    shortest = max(tolerance, 2 * gsd)
    for row in np.flatnonzero(uncut):
        simple[row] = make_right_angled(simple[row], shortest, smooth[row])
    return simple


def selected_classes(layer: Layer, classes: str | None, known: Legend | None) -> dict[int, str] | None:
    """Label value → class name of the selected classes; None for all, named by their numbers."""
    if classes is None:
        return None if known is None else dict(zip(known.values, known.names, strict=True))
    chosen = {}
    for word in (word.strip() for word in classes.split(",")):
        if word.isdigit():
            value = int(word)
            in_legend = known is not None and value in known.values
            chosen[value] = known.names[known.values.index(value)] if known is not None and in_legend else word
        elif known is None:
            raise LabelError(
                f'{layer.source} has no legend, so "{word}" has no label value. Give the legend with '
                "--legend, or give --classes as label values."
            )
        else:
            chosen[known.value(word)] = known.names[known.index(word)]
    return chosen


def find_legend(layer: Layer, legend: str | None) -> Legend:
    """Return the given legend, or else the legend in the raster's tags. Errors: LabelError."""
    known = legend_or_none(layer, legend)
    if known is None:
        raise LabelError(f"{layer.source} has no legend in its tags. Give it with --legend.")
    return known


def legend_or_none(layer: Layer, legend: str | None) -> Legend | None:
    """Return the given legend, or else the legend in the raster's tags, or None."""
    return Legend.load(legend) if legend else layer.legend
