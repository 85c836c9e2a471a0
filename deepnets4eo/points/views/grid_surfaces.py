"""Surfaces over what is already a grid: a surface model, and the depth image of an RGB-D camera."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.points.views.surface import Surface


def surface_of_heights(
    dsm: NDArray[np.floating],
    transform: Affine,
    *,
    colour: NDArray[np.uint8] | None = None,
    classes: NDArray[np.uint8] | None = None,
    max_building_m: float = 50.0,
) -> Surface:
    """Two triangles a cell of a surface model; `point_index` counts its pixels row by row."""
    raise NotImplementedError


def surface_of_depth(
    depth_m: NDArray[np.floating],
    intrinsics: tuple[float, float, float, float],
    *,
    pose: NDArray[np.floating] | None = None,
    colour: NDArray[np.uint8] | None = None,
    classes: NDArray[np.uint8] | None = None,
    jump: float = 0.05,
) -> Surface:
    """Triangles over a depth image; invalid pixels and jumps are cut; `point_index` counts its pixels row by row."""
    raise NotImplementedError
