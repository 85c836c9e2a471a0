"""The working grid and every input on it: post unchanged, pre through the registration, heights and clouds warped; and outlines on POST.

Its resolution is the resolution of the coarser image, at least 0.5 m; a much coarser pre image is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Geometries
from deepnets4eo.damage.images.dates import FINEST_GSD_M, in_colour, known_or_assumed_gsd_m, mean_gsd, pre_ratio
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, apply_affine
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import without_collar
from deepnets4eo.registration import grid_in_pre

if TYPE_CHECKING:
    from deepnets4eo.footprints import FootprintAlignment
    from deepnets4eo.registration import Registration

SAME_GRID_RATIO = 1.15  # pixels that differ less from square ones of the working size are used as they are


@dataclass(frozen=True)
class WorkingGrid:
    """Layers by role on the working grid. post_to_work : from post pixels (col, row) to working pixels."""

    grid: Grid
    gsd_m: float
    layers: dict[str, Layer]
    post_to_work: Affine

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the working grid."""
        height, width = self.grid.shape
        return height, width

    def read(self, name: str, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window of one layer: (C, h, w) values and (h, w) validity."""
        return self.layers[name].read(window)


def make_working_grid(
    pre: Layer | None,
    post: Layer,
    registration: Registration | None,
    *,
    finest_m: float = FINEST_GSD_M,
    coarsest_pre: float = float("inf"),
    **others: Layer | None,
) -> WorkingGrid:
    """Put all layers on one working grid. coarsest_pre : a pre image that is coarser by more is left out; others : dsm_pre, dsm_post, cloud.

    Raises GridError if one layer has a CRS and another has none; InputError for an unknown role."""
    unknown = set(others) - {"dsm_pre", "dsm_post", "cloud"}
    if unknown:
        raise InputError(f"layers {sorted(unknown)} have no role, expected dsm_pre, dsm_post or cloud.")
    trusted = pre is not None and registration is not None and registration.usable
    usable_pre = pre if trusted and pre is not None and pre_ratio(pre, post, finest_m) <= coarsest_pre else None
    size_m = max([finest_m, mean_gsd(post), *([] if usable_pre is None else [mean_gsd(usable_pre)])])
    grid = _working_grid(post, size_m)
    scale = Affine.scale(grid.shape[1] / post.shape[1], grid.shape[0] / post.shape[0])
    before = grid
    if trusted and registration is not None:
        before = grid_in_pre(post.grid, registration.matrix, shape=(grid.shape[0], grid.shape[1]), scale=scale)
    layers = {"post": without_collar(in_colour(post).on(grid, _resampling(post, size_m)))}
    if usable_pre is not None:
        layers["pre"] = without_collar(in_colour(usable_pre).on(before, _resampling(usable_pre, size_m)))
    for name, layer in others.items():
        if layer is not None:
            resampling = "nearest" if name == "cloud" else _resampling(layer, size_m)
            layers[name] = layer.on(before if name == "dsm_pre" else grid, resampling)
    return WorkingGrid(grid, size_m, layers, scale)


def on_post(
    outlines: Geometries,
    grid: Grid,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
    rows: slice = slice(None),
) -> Geometries:
    """Return outlines in post pixels, where the post image shows the buildings. registration : None if the outlines are on post."""
    coordinates, owner = shapely.get_coordinates(outlines, return_index=True)
    if alignment is not None:
        bounds = shapely.bounds(outlines)
        centres = (bounds[:, :2] + bounds[:, 2:]) / 2
        coordinates = coordinates + alignment.offsets_px(grid, centres, rows)[owner]
    if registration is not None and registration.usable:
        coordinates = apply_affine(~Affine(*np.asarray(registration.matrix, float).ravel()), coordinates)
    return shapely.set_coordinates(outlines.copy(), coordinates)


def _working_grid(post: Layer, size_m: float) -> Grid:
    """Return the post image's grid if its pixels are nearly square and of the working size, else a grid whose pixels are."""
    along_row, along_col = known_or_assumed_gsd_m(post.grid)
    ratios = along_row / size_m, along_col / size_m
    if all(1 / SAME_GRID_RATIO < ratio < SAME_GRID_RATIO for ratio in ratios):
        return post.grid
    rows, cols = (max(1, round(side * ratio)) for side, ratio in zip(post.shape, ratios, strict=True))
    scale = Affine.scale(post.shape[1] / cols, post.shape[0] / rows)
    return GeoBox((rows, cols), post.grid.affine * scale, post.grid.crs)


def _resampling(layer: Layer, size_m: float) -> str:
    return "average" if mean_gsd(layer) < 0.6 * size_m else "bilinear"
