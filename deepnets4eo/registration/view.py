"""The pre image as the post image would show it: seen through a registration, resampled once, straight from its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Grid, only_one_placed

if TYPE_CHECKING:
    from deepnets4eo.rasters.scene import Layer

Motion = NDArray[np.float64] | Sequence[Sequence[float]]
UNMOVED: Motion = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def grid_in_pre(
    post_grid: Grid, matrix: Motion, *, shape: tuple[int, int] | None = None, scale: Affine | None = None
) -> Grid:
    """The grid on which the pre image, by its own coordinates, shows what the post image shows on its grid.

    Parameters
    ----------
    post_grid
        Grid of the post image.
    matrix
        (2, 3), as in `Registration`.
    shape, scale
        The shape and scale of a grid in other pixels over the same ground, and the map from post pixels to these; by
        default the post image's own.

    Returns
    -------
    A grid in the CRS of the post image.
    """
    moved = post_grid.affine * Affine(*np.asarray(matrix, float).ravel())
    return GeoBox(
        post_grid.shape if shape is None else shape, moved if scale is None else moved * ~scale, post_grid.crs
    )


def on_post_grid(pre: Layer, post_grid: Grid, matrix: Motion = UNMOVED, *, resampling: str = "bilinear") -> Layer:
    """The pre image on the pixels of the post image, moved as a registration says; read window by window.

    Parameters
    ----------
    pre
        The pre image.
    post_grid
        Grid of the post image.
    matrix
        (2, 3), as in `Registration`; by default nothing moves.
    resampling
        The same as in `Layer.on`.

    Returns
    -------
    A layer on `post_grid`. Where only one of both images has a place, they are paired pixel by pixel, and then moved.

    Raises
    ------
    GridError
        Only one of both images has a place, and their sizes differ.
    """
    if only_one_placed(pre.grid, post_grid):
        pre = pre.on(post_grid)
    return pre.on(grid_in_pre(post_grid, matrix), resampling).with_grid(post_grid)
