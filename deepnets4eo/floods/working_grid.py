"""The grid on which the dates of a flood are compared, and a date on it: POST's grid, fine optical images averaged to about 1 m."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import GridError
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.optical import SurfaceRules, may_show_surface
from deepnets4eo.floods.surface_date import SurfaceDate, surface_grid
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.grid import Grid, Window, only_one_placed
from deepnets4eo.rasters import COLOURS, Layer, LayerView, Scene
from deepnets4eo.read_as import without_collar
from deepnets4eo.registration import UNMOVED, MotionMatrix, grid_in_pre


def surface_scene(
    pre: Layer | None, post: Layer, gsd_m: float, motion: MotionMatrix = UNMOVED, *, surfaces_alone: bool = False
) -> Scene:
    """Return a pair of fine optical images as `WaterMapper` reads it.

    Parameters
    ----------
    pre, post : red, green and blue before, if there is such an image, and after
    gsd_m : side of a pixel of POST, metres
    motion : (2, 3), how PRE lies, as in `Registration`
    surfaces_alone : no network looks for water: PRE is read only where POST may show a surface of water

    Returns
    -------
    Scene
        The layers `pre_1` and `post` on the grid of `surface_grid`.
    """
    grid = surface_grid(post.grid, gsd_m)
    date, images = SurfaceDate(tuple(COLOURS)), {FIRST: (pre, motion), POST: (post, UNMOVED)}
    layers = {
        name: on_working_grid(image.with_names(list(COLOURS)), date, post.grid, grid, moved)
        for name, (image, moved) in images.items()
        if image is not None
    }
    pixel_m = gsd_m * post.shape[1] / grid.shape[1]
    if surfaces_alone and pre is not None and np.prod(grid.shape) * pixel_m**2 >= SurfaceRules.small_image_m2:
        layers[FIRST] = Layer(WhereSurfaces(layers[FIRST], layers[POST], SurfaceRules.min_area_m2 / pixel_m**2))
    return Scene(layers, grid)


class WhereSurfaces(LayerView):
    """A date before, read only in windows where POST may show a surface of water.

    Pixels of other windows are taken as valid: dry ground is not flooded, whatever was there before."""

    def __init__(self, before: Layer, post: Layer, least_px: float) -> None:
        super().__init__(before, before.dtype, before.nodata)
        self._post, self._least_px = post, least_px

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if may_show_surface(self._post.read(window)[0], self._least_px):
            return self.choose(bands).read(window)
        size = (window.height, window.width)
        return np.zeros((len(bands), *size), self.dtype), np.ones(size, bool)


def on_working_grid(image: Layer, date: WaterDate, post_grid: Grid, grid: Grid, motion: MotionMatrix) -> Layer:
    """Return an image on the working grid, as its date reads it."""
    if only_one_placed(image.grid, post_grid):
        raise GridError(
            f"{image.source} has no CRS, or POST has none; both must lie in one. Georeference it: gdal_translate -a_srs EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM IN OUT."
        )
    seen_there = grid_in_pre(
        post_grid, motion, shape=(grid.shape[0], grid.shape[1]), scale=~grid.affine * post_grid.affine
    )
    resampling = "bilinear" if grid is post_grid else "average"
    averaged = without_collar(image.on(seen_there, resampling).with_grid(grid))
    return date.display(averaged, image)
