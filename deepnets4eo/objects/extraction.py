"""Objects of a label raster: the mask of a class, opened, its regions, touching ones split, a box around each.

Length, width, heading and area are in metres, whatever the CRS; without one a pixel counts as a metre.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.ndimage import distance_transform_edt

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import LABELS_READ_PX, Grid, Window, gsd_m, pixel_sides_m, pixel_steps_m, transform_shapes
from deepnets4eo.jobs import between
from deepnets4eo.objects.splitting import DEPTH, Pieces, split_at_necks, split_both
from deepnets4eo.options import option_group
from deepnets4eo.polygons import (
    areas_m2,
    boxes_around,
    outlines,
    trace_regions,
    warn_of_unknown_labels,
    without_stairs,
)
from deepnets4eo.rasters import Layer, LayerLike

if TYPE_CHECKING:
    import geopandas as gpd


log = logging.getLogger(__name__)

Read = Callable[[Window], tuple[NDArray[Any], Mask]]

MAX_SPLIT_PX = 4096**2  # of a region's bounding box; larger regions are not split
WITHOUT_NECK_SHARE = 0.95  # share of its convex hull that a region without a neck fills


@option_group
class ObjectRules:
    """Rules that turn the mask of a class into objects.

    Errors: InputError for a value out of range, and for `split="area"` without `object_area_m2`.

    Parameters
    ----------
    opening_m : diameter in metres of the disc whose opening removes thinner parts; 0 leaves the mask unchanged
    min_area_m2 : m²; smaller regions are left out, and no object is split into smaller objects
    split : "distance" cuts at necks, "area" also cuts the remaining regions by `object_area_m2`, "none" keeps regions whole
    object_area_m2 : m² of one object, needed if `split` is "area"
    depth : share 0–1 of a region's half width by which a neck must narrow it; smaller values split more
    shape : "oriented_box", the smallest rectangle around an object, or "polygon", the outline of its pixels

    Examples
    --------
    >>> ObjectRules(opening_m=0.5, split="area", object_area_m2=8).object_area_m2
    8.0
    """

    opening_m: float = Field(default=0.0, ge=0)
    min_area_m2: float = Field(default=0.0, ge=0)
    split: Literal["distance", "area", "none"] = "distance"
    object_area_m2: float | None = None
    depth: float = Field(default=DEPTH, gt=0, lt=1)
    shape: Literal["oriented_box", "polygon"] = "oriented_box"

    @model_validator(mode="after")
    def _area_of_one_object(self) -> ObjectRules:
        if self.split == "area" and not (self.object_area_m2 and self.object_area_m2 > 0):
            raise ValueError("has split=area, which needs the area of one object. Set object_area_m2, for cars to 8")
        return self


def extract_objects(
    labels: LayerLike,
    class_name: str,
    legend: Legend | str,
    rules: ObjectRules | None = None,
    *,
    block_px: int = LABELS_READ_PX,
    max_split_px: int = MAX_SPLIT_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> gpd.GeoDataFrame:
    """Return the objects of a class in a label raster, by segmentation before detection.

    Source: Audebert et al., Remote Sensing 9(4):368, 2017.

    Errors: LabelError for a class that the legend lacks; InputError for a raster without labels, and an opening wider than
    the raster.

    Parameters
    ----------
    labels : one band of label values of `legend`; void and nodata are of no class
    class_name : a class of the legend
    legend : a legend, or its name or file
    rules : rules that turn the mask into objects
    block_px : side in pixels of the blocks that are read
    max_split_px : regions whose bounding box has more pixels are not split
    workers : threads, by default one per core
    progress : called with the finished share, 0–1

    Returns
    -------
    In the raster's CRS, by the regions' first pixels: `id` text, `class` text, `area_m2` float64 as counted in pixels,
    `length_m` and `width_m` float64 of the smallest rectangle, `heading_deg` float64 of its long side, clockwise from
    north (without a CRS: from the top), 0–180, `cut` bool, whether the raster's edge cuts it, and `geometry`.

    Peak memory: per worker 80 bytes per pixel of a block; all outlines; and 60 bytes per pixel of the box of one region.

    Examples
    --------
    >>> cars = extract_objects(np.array([[4, 4, 4, 0], [4, 4, 4, 0]], np.uint8), "car", "isprs")
    >>> cars[["length_m", "width_m", "heading_deg", "cut"]].values.tolist()
    [[3.0, 2.0, 90.0, True]]
    """
    rules = rules or ObjectRules()
    legend = legend if isinstance(legend, Legend) else Legend.load(legend)
    layer, value = Layer.open(labels), legend.value(class_name)
    layer.check_position("the label raster")
    if (note := layer.other_legend_note(legend)) is not None:
        log.warning("%s", note)
    if layer.hidden_class(legend) == legend.names[legend.index(class_name)]:
        log.warning("%s", layer.hidden_class_note(legend))
    if layer.dtype.kind in "iu" and layer.count == 1:
        warn_of_unknown_labels(layer, legend)
    region_progress = between(progress, 0.0, 0.8)
    mask = class_mask(layer, value, rules.opening_m, legend)
    regions = trace_regions(layer, [1], read=mask, block_px=block_px, workers=workers, progress=region_progress)
    polygons = regions.polygons
    polygons = polygons[areas_m2(polygons, layer.grid) >= rules.min_area_m2]
    if rules.split != "none":
        polygons = _split_regions(polygons, layer.grid, rules, max_split_px)
    if progress is not None:
        progress(1.0)
    return object_table(polygons, layer.grid, legend.names[legend.index(class_name)], boxes=rules.shape != "polygon")


def _split_regions(polygons: NDArray[Any], grid: Grid, rules: ObjectRules, max_split_px: int) -> NDArray[Any]:
    """Return regions (N,) on pixel corners, each replaced by the objects it consists of."""
    area, area_m2 = shapely.area(polygons).astype(float), areas_m2(polygons, grid)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    divisible = area < WITHOUT_NECK_SHARE * shapely.area(shapely.convex_hull(polygons))
    if rules.object_area_m2 is not None and rules.split == "area":
        divisible |= area_m2 > rules.object_area_m2
    divisible &= (area_m2 >= 2 * rules.min_area_m2) & ((bottom - top) * (right - left) <= max_split_px)
    parts: list[NDArray[Any]] = []
    sides_m = pixel_sides_m(grid, shapely.get_coordinates(shapely.centroid(polygons))).tolist()
    for polygon, (row_m, col_m), divide in zip(polygons, sides_m, divisible, strict=True):
        parts.append(_split_region(polygon, (row_m, col_m), rules) if divide else np.array([polygon], object))
    return np.concatenate([np.zeros(0, object), *parts])


def _split_region(polygon: shapely.Geometry, sides_m: tuple[float, float], rules: ObjectRules) -> NDArray[Any]:
    left, top, right, bottom = (int(value) for value in polygon.bounds)
    shift = Affine.translation(left, top)
    mask = rasterio.features.rasterize([polygon], (bottom - top, right - left), transform=shift, dtype="uint8") > 0
    if rules.split == "area" and rules.object_area_m2 is not None:
        pieces = split_both(mask, sides_m, rules.object_area_m2, min_area_m2=rules.min_area_m2, depth=rules.depth)
    else:
        pieces = split_at_necks(mask, sides_m, min_area_m2=rules.min_area_m2, depth=rules.depth)
    return np.array([polygon], object) if pieces.max() <= 1 else _outlines(pieces, shift)


def _outlines(pieces: Pieces, shift: Affine) -> NDArray[Any]:
    """Return the outline of each piece on pixel corners."""
    rings: list[list[shapely.Geometry]] = [[] for _ in range(int(pieces.max()))]
    for ring, number in rasterio.features.shapes(pieces, mask=pieces > 0, connectivity=4, transform=shift):
        rings[int(number) - 1].append(shapely.geometry.shape(ring))
    return np.array([shapely.union_all(parts) for parts in rings], object)


def class_mask(labels: Layer, value: int, opening_m: float = 0.0, legend: Legend | None = None) -> Read:
    """Return a reader of windows (1, h, w): 1 where the label is `value` after an opening by a disc of `opening_m`.

    Peak memory: 40 bytes per pixel of a window."""
    sides_m = gsd_m(labels.grid)
    if opening_m > max(labels.shape) * max(sides_m) + 1:
        raise InputError(
            f"opening_m is {opening_m:g} m, more than the width of the labels {labels.source}. Give a smaller one."
        )
    radius_m = (opening_m - float(np.mean(sides_m))) / 2  # a disc of d pixels reaches (d - 1) / 2 from its middle
    halo_px = int(np.ceil(2 * max(radius_m, 0) / min(sides_m))) + 1 if radius_m >= min(sides_m) else 0

    def read(window: Window) -> tuple[NDArray[Any], Mask]:
        around = window.grow(halo_px)
        data, valid = labels.read(around)
        mask = valid & ((data[0] if legend is None else legend.from_file(data[0])) == value)
        if halo_px and mask.any():
            mask = open_mask(mask, radius_m, sides_m)
        rows, cols = window.within(around).slices
        return mask[None, rows, cols].astype(np.uint8), np.ones((window.height, window.width), bool)

    return read


def open_mask(mask: Mask, radius_m: float, sides_m: tuple[float, float]) -> Mask:
    """Return the opening of (h, w) bool by the disc within `radius_m`; pixels beyond the array count as not set."""
    near = radius_m + 1e-6 * min(sides_m)  # centres exactly on the circle belong to the disc
    eroded = distance_transform_edt(np.pad(mask, 1), sides_m)[1:-1, 1:-1] > near
    if not eroded.any():
        return eroded
    grown: Mask = distance_transform_edt(~eroded, sides_m) <= near
    return grown


def object_table(polygons: NDArray[Any], grid: Grid, class_name: str, *, boxes: bool) -> gpd.GeoDataFrame:
    """Return objects of polygons (N,) with their measures, as outlines or smallest rectangles (`boxes`)."""
    import geopandas as gpd

    centres = shapely.get_coordinates(shapely.centroid(polygons))
    sides_m = pixel_sides_m(grid, centres)
    around = boxes_around(_scaled(_smooth(polygons), sides_m))
    shapes = _scaled(outlines(around), 1 / sides_m) if boxes else polygons
    ground = transform_shapes(grid.affine, shapes)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    height, width = grid.shape
    return gpd.GeoDataFrame(
        {
            "id": np.array([str(number) for number in range(1, len(polygons) + 1)], object),
            "class": np.full(len(polygons), class_name, object),
            "area_m2": areas_m2(polygons, grid),
            "length_m": around[:, 2],
            "width_m": around[:, 3],
            "heading_deg": heading_deg(around[:, 4], grid, centres),
            "cut": (left <= 0) | (top <= 0) | (right >= width) | (bottom >= height),
        },
        geometry=ground,
        crs=grid.crs.proj if grid.crs is not None else None,
    )


def _scaled(shapes: NDArray[Any], sides: Floats) -> NDArray[Any]:
    """Shapes (N,), each multiplied by its own sides (N, 2), down and to the right."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    return np.asarray(shapely.set_coordinates(shapes.copy(), xy * sides[owner, ::-1]))


def heading_deg(radians: Floats, grid: Grid, centres: Floats) -> Floats:
    """Return clockwise angles from true north (N,), 0–180, of directions from columns towards rows at pixels (N, 2), x before y."""
    row_m, col_m = pixel_sides_m(grid, centres).T
    along = np.stack([np.cos(radians) / col_m, np.sin(radians) / row_m], axis=-1)
    east, north = np.einsum("nij,nj->in", pixel_steps_m(grid, centres), along)
    return np.asarray(np.round(np.degrees(np.arctan2(east, north)), 6) % 180.0, np.float64)


def _smooth(polygons: NDArray[Any]) -> NDArray[Any]:
    """Return outlines without stairs; outlines with several parts are smoothed part by part."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    smooth = without_stairs(parts)
    if len(parts) == len(polygons):
        return smooth
    return np.array([shapely.multipolygons(smooth[owner == index]) for index in range(len(polygons))], object)
