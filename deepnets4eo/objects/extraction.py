"""Objects out of a label raster: the mask of a class, opened, its regions, touching ones split, a box around each.

Takes labels of any size and reads them in blocks; the result does not depend on them. All sizes are in metres,
whatever the CRS; without one a pixel counts as a metre. Refuses classes the legend lacks, naming the nearest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m
from deepnets4eo.objects.class_masks import class_mask
from deepnets4eo.objects.splitting import DEPTH, Pieces, split_at_necks, split_both
from deepnets4eo.objects.table import object_table
from deepnets4eo.polygons.regions import trace_regions
from deepnets4eo.rasters.scene import Layer, LayerLike

if TYPE_CHECKING:
    import geopandas as gpd

BLOCK_PX = 2048
LARGEST_PX = 4096**2  # a region with a larger box is no row of touching objects, and is not split
WITHOUT_NECK = 0.95  # share of its convex hull that a region fills when it has none


@dataclass(frozen=True)
class ObjectRules:
    """How a mask becomes objects.

    opening_m : diameter of the disc that cuts thin bridges and removes what is thinner; 0 leaves the mask alone
    min_area_m2 : smaller regions are left out, and no object is split into smaller ones
    split : "distance" cuts at necks, "area" cuts what is left by `object_area_m2` too, "none" keeps regions whole
    depth : share of a region's half width by which a neck must narrow it, 0–1; smaller splits more
    connectivity : 4, or 8 where pixels that touch by a corner belong together
    shape : "oriented_box", the smallest rectangle around, or "polygon", the pixels' outline
    """

    opening_m: float = 0.0
    min_area_m2: float = 0.0
    split: Literal["distance", "area", "none"] = "distance"
    object_area_m2: float | None = None
    depth: float = DEPTH
    connectivity: Literal[4, 8] = 4
    shape: Literal["oriented_box", "polygon"] = "oriented_box"

    def __post_init__(self) -> None:
        choices = {"split": ("distance", "area", "none"), "connectivity": (4, 8), "shape": ("oriented_box", "polygon")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(map(str, allowed))}.")
        if not (np.isfinite(self.min_area_m2) and self.min_area_m2 >= 0):
            raise InputError(f"min_area_m2 is {self.min_area_m2}, expected a number of 0 or more.")
        if not 0 < self.depth < 1:
            raise InputError(f"depth is {self.depth}, expected a share between 0 and 1.")
        if self.split == "area" and not (self.object_area_m2 and self.object_area_m2 > 0):
            raise InputError("split by area needs to know how large one object is. Give object_area_m2, cars have 8.")


def extract_objects(
    labels: LayerLike,
    class_name: str,
    legend: Legend | str,
    rules: ObjectRules | None = None,
    *,
    block_px: int = BLOCK_PX,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> gpd.GeoDataFrame:
    """Find the objects of a class in a label raster: segment before detect.

    Parameters
    ----------
    labels : one band of label values of `legend`; void and nodata are of no class
    progress : called with the share done

    Returns
    -------
    GeoDataFrame in the raster's CRS, in the order of the regions' first pixels: `id` text, `class` text,
    `area_m2` float64 as counted in pixels, `length_m` and `width_m` float64 of the smallest rectangle,
    `heading_deg` float64 of its long side, clockwise from north (without a CRS: from the top), 0–180, `cut` bool,
    whether the raster's edge cuts it, and `geometry`.

    Errors: LabelError for a class the legend lacks; InputError for rasters that are no labels.
    Source: Audebert et al., Remote Sensing 9(4):368, 2017.
    Peak memory: per worker 80 bytes a pixel of a block; all outlines; and 60 bytes a pixel of the box of one region.

    >>> found = extract_objects(np.array([[4, 4, 4, 0], [4, 4, 4, 0]], np.uint8), "car", "isprs")
    >>> found[["length_m", "width_m", "heading_deg", "cut"]].values.tolist()
    [[3.0, 2.0, 90.0, True]]
    """
    rules = rules or ObjectRules()
    legend = legend if isinstance(legend, Legend) else Legend.load(legend)
    layer, value = Layer.open(labels), legend.value(class_name)
    told = None if progress is None else lambda share: progress(0.8 * share)
    mask = class_mask(layer, value, rules.opening_m)
    regions = trace_regions(layer, [1], read=mask, block_px=block_px, workers=workers, progress=told)
    polygons = regions.polygons
    if rules.connectivity == 8:
        polygons = _joined_at_corners(polygons)
    row_m, col_m = gsd_m(layer.grid)
    polygons = polygons[shapely.area(polygons).astype(float) * row_m * col_m >= rules.min_area_m2]
    if rules.split != "none":
        polygons = _split(polygons, (row_m, col_m), rules)
    if progress is not None:
        progress(1.0)
    return object_table(polygons, layer.grid, legend.names[legend.index(class_name)], boxes=rules.shape != "polygon")


def _split(polygons: NDArray[Any], sides_m: tuple[float, float], rules: ObjectRules) -> NDArray[Any]:
    """Regions (N,) on pixel corners, each in its place replaced by the objects it consists of."""
    area = shapely.area(polygons).astype(float)
    left, top, right, bottom = shapely.bounds(polygons).reshape(-1, 4).T
    divisible = area < WITHOUT_NECK * shapely.area(shapely.convex_hull(polygons))
    if rules.object_area_m2 is not None and rules.split == "area":
        divisible |= area * sides_m[0] * sides_m[1] > rules.object_area_m2
    divisible &= (area * sides_m[0] * sides_m[1] >= 2 * rules.min_area_m2) & (
        (bottom - top) * (right - left) <= LARGEST_PX
    )
    parts: list[NDArray[Any]] = []
    for polygon, divide in zip(polygons, divisible, strict=True):
        parts.append(_objects_of(polygon, sides_m, rules) if divide else np.array([polygon], object))
    return np.concatenate([np.zeros(0, object), *parts])


def _objects_of(polygon: shapely.Geometry, sides_m: tuple[float, float], rules: ObjectRules) -> NDArray[Any]:
    left, top, right, bottom = (int(value) for value in polygon.bounds)
    shift = Affine.translation(left, top)
    mask = rasterio.features.rasterize([polygon], (bottom - top, right - left), transform=shift, dtype="uint8") > 0
    options: dict[str, Any] = {
        "min_area_m2": rules.min_area_m2,
        "depth": rules.depth,
        "connectivity": rules.connectivity,
    }
    if rules.split == "area" and rules.object_area_m2 is not None:
        pieces = split_both(mask, sides_m, rules.object_area_m2, **options)
    else:
        pieces = split_at_necks(mask, sides_m, **options)
    return np.array([polygon], object) if pieces.max() <= 1 else _traced(pieces, shift)


def _traced(pieces: Pieces, shift: Affine) -> NDArray[Any]:
    """Outline of each piece on pixel corners."""
    found: list[list[shapely.Geometry]] = [[] for _ in range(int(pieces.max()))]
    for ring, number in rasterio.features.shapes(pieces, mask=pieces > 0, connectivity=4, transform=shift):
        found[int(number) - 1].append(shapely.geometry.shape(ring))
    return np.array([shapely.union_all(parts) for parts in found], object)


def _joined_at_corners(polygons: NDArray[Any]) -> NDArray[Any]:
    """Regions that share a corner as one, in the place of the first of them."""
    if not len(polygons):
        return polygons
    xy, owner = shapely.get_coordinates(polygons, return_index=True)
    _, corner = np.unique(xy, axis=0, return_inverse=True)
    links = coo_array((np.ones(len(owner), bool), (owner, corner.reshape(-1) + len(polygons))))
    size = len(polygons) + int(corner.max()) + 1
    links.resize((size, size))
    region = connected_components(links, directed=False)[1][: len(polygons)]
    _, first, of = np.unique(region, return_index=True, return_inverse=True)
    order = np.argsort(first)
    members: list[list[Any]] = [[] for _ in order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    for polygon, group in zip(polygons, rank[of], strict=True):
        members[group].append(polygon)
    return np.array([group[0] if len(group) == 1 else shapely.union_all(group) for group in members], object)
