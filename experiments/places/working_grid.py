"""Images of any pixel size, with their buildings, on square working pixels of one size.

Takes bands and either a mask or outlines in pixels of the source; returns all on one metric grid. Finer pixels are
averaged, coarser ones interpolated; a working pixel is building where at least half of it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject
from scipy.ndimage import label

from deepnets4eo.cards import VOID
from deepnets4eo.damage import GRADES
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.rasters import Layer

PAIR_PX = 512
FOOTPRINT_ERROR_M = 0.7  # what registration leaves, as measured on real pairs

CRS = "EPSG:32633"  # any metric one: the grids say how large a pixel is, not where it lies
CORNER_M = (500_000.0, 5_000_000.0)
SMALLEST_M2 = 20.0  # smaller objects count neither as missed nor as hits: the damage job leaves them out as well
MIN_KNOWN = 0.5  # share of a working pixel with a reference, below which it is void


@dataclass(frozen=True)
class SourceImage:
    """One labelled image as its files have it.

    Parameters
    ----------
    bands
        (3, h, w) uint8: red, green, blue.
    sides_m
        Ground size of a pixel along the rows' step and along the columns' step, metres.
    mask
        (h, w) uint8: 1 building, 0 not, 255 unknown.
    outlines
        (N,) polygons of the buildings in pixels (x right, y down); None where the regions of the mask serve.
    """

    bands: NDArray[np.uint8]
    sides_m: tuple[float, float]
    mask: NDArray[np.uint8]
    outlines: NDArray[np.object_] | None = None


@dataclass(frozen=True)
class BuildingScene:
    """The same on the working grid.

    Parameters
    ----------
    image
        (3, H, W) uint8.
    reference
        (H, W) uint8: 1 building, 0 not, 255 void.
    objects
        Outlines of the buildings in the grid's CRS; `difficult` marks those that count neither way.
    grid
        Square pixels in a metric CRS.
    """

    image: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    objects: gpd.GeoDataFrame
    grid: Grid


def metric_grid(shape: tuple[int, int], sides_m: tuple[float, float]) -> Grid:
    """A grid of (h, w) pixels of these sides (along rows' step, along columns' step), metres."""
    return Grid(shape, Affine(sides_m[1], 0, CORNER_M[0], 0, -sides_m[0], CORNER_M[1]), CRS)


def on_working_grid(source: SourceImage, gsd_m: float) -> BuildingScene:
    """Bring an image and its buildings onto square pixels of `gsd_m` metres."""
    native = metric_grid(source.mask.shape, source.sides_m)
    height, width = (
        max(1, round(size * side / gsd_m)) for size, side in zip(source.mask.shape, source.sides_m, strict=True)
    )
    grid = metric_grid((height, width), (gsd_m, gsd_m))
    finer = max(source.sides_m) < gsd_m
    image = _resample(source.bands.astype(np.float32), native, grid, Resampling.average if finer else Resampling.cubic)
    known = _resample((source.mask != VOID)[None].astype(np.float32), native, grid, Resampling.average)[0]
    building = _resample((source.mask == 1)[None].astype(np.float32), native, grid, Resampling.average)[0]
    reference = (building >= 0.5 * np.maximum(known, MIN_KNOWN)).astype(np.uint8)
    reference[known < MIN_KNOWN] = VOID
    outlines = regions_of(source.mask) if source.outlines is None else source.outlines
    polygons = np.asarray(transform_shapes(native.affine, outlines), object)
    difficult = shapely.area(polygons) < SMALLEST_M2
    objects = gpd.GeoDataFrame({"difficult": difficult}, geometry=polygons, crs=CRS)
    return BuildingScene(np.clip(np.round(image), 0, 255).astype(np.uint8), reference, objects, grid)


def regions_of(mask: NDArray[np.uint8]) -> NDArray[np.object_]:
    """Outlines (N,) of the connected regions of 1 in a mask, in its pixels."""
    numbers, _ = label(mask == 1)
    traced = rasterio.features.shapes(numbers.astype(np.int32), mask=numbers > 0, connectivity=4)
    polygons = [shapely.geometry.shape(piece) for piece, _ in traced]
    return np.array(polygons, dtype=object)


def in_pixels_of(table: gpd.GeoDataFrame, image: Layer) -> NDArray[np.object_]:
    """Outlines (N,) of a table with a CRS in pixels of a georeferenced image (x right, y down)."""
    return np.asarray(transform_shapes(~image.grid.affine, table.to_crs(crs_of(image)).geometry.to_numpy()))


def crs_of(image: Layer) -> str:
    """The CRS of a georeferenced image, as WKT."""
    assert image.grid.crs is not None, f"{image.source} has no CRS"
    return image.grid.crs.to_wkt()


def mask_of(outlines: NDArray[np.object_], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """1 inside the outlines (in pixels), 0 elsewhere, (h, w) uint8."""
    if not len(outlines):
        return np.zeros(shape, np.uint8)
    return np.asarray(rasterio.features.rasterize(list(outlines), out_shape=shape, dtype="uint8"))


def inside(outlines: NDArray[np.object_], shape: tuple[int, int]) -> NDArray[np.object_]:
    """The parts of outlines (in pixels) that lie within an image of `shape`; those outside are left out."""
    cut = shapely.intersection(shapely.make_valid(outlines), shapely.box(0, 0, shape[1], shape[0]))
    kept: NDArray[np.object_] = cut[shapely.area(cut) > 0]
    return kept


def _resample(bands: NDArray[np.float32], native: Grid, grid: Grid, how: Resampling) -> NDArray[np.float32]:
    out = np.zeros((len(bands), *grid.shape), np.float32)
    reproject(
        bands, out, src_transform=native.affine, src_crs=CRS, dst_transform=grid.affine, dst_crs=CRS, resampling=how
    )
    return out


@dataclass(frozen=True)
class MadeUpPair:
    """Images before and after, and the outlines of buildings at both dates: `id`, `damage` as seen from above, geometry."""

    pre: Layer
    post: Layer
    outlines: gpd.GeoDataFrame


def world_pair(seed: int, style: str, hazard: str, rng: np.random.Generator, *, oblique: bool = False) -> MadeUpPair:
    """The pair of a seed. rng : source of the error of the outlines; oblique : seen from the side, each date from its own."""
    from world import draw_pair
    from world.plan import BOTH

    sample = draw_pair(seed, style=style, hazard=hazard, size_px=PAIR_PX, oblique=oblique)
    shapes = np.array(sample.polygons(), dtype=object)
    rows = np.flatnonzero((sample.plan.buildings["when"] == BOTH) & (shapely.area(shapes) > 0))
    grid = metric_grid(sample.labels_pre.shape, (sample.gsd_m, sample.gsd_m))
    names = {"id": [f"b{row:04d}" for row in rows], "damage": np.array(GRADES, dtype=object)[sample.visible[rows]]}
    outlines = gpd.GeoDataFrame(names, geometry=transform_shapes(grid.affine, shapes[rows]), crs=CRS)
    outlines.geometry = outlines.geometry.translate(*rng.normal(0, FOOTPRINT_ERROR_M, 2))
    pre, post = (Layer.open(np.ascontiguousarray(image[:3]), grid=grid) for image in (sample.pre, sample.post))
    return MadeUpPair(pre, post, outlines)
