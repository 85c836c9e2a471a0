"""Surfaces over what is already a grid: a surface model, and the depth image of an RGB-D camera.

Unknown pixels stay holes. The same attributes are estimated from the points as for clouds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.points.views.attributes import surface_attributes
from deepnets4eo.points.views.surface import Surface
from deepnets4eo.terrain import ndsm

FLOOR_PERCENTILE = 1
LEVEL = np.array(
    [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]
)  # the camera's z forward becomes y, its y down -z


def surface_of_heights(
    dsm: NDArray[np.floating],
    transform: Affine,
    *,
    colour: NDArray[np.uint8] | None = None,
    classes: NDArray[np.uint8] | None = None,
    max_building_m: float = 50.0,
) -> Surface:
    """Make a surface of a surface model: two triangles between the middles of four pixels.

    Parameters
    ----------
    dsm
        (h, w) heights, metres; NaN where unknown.
    transform
        From columns and rows to coordinates in metres, as rasters have it.
    colour
        (3, h, w) uint8, e.g. of an orthophoto on the same grid.
    classes
        (h, w) uint8 labels on the same grid.
    max_building_m
        Width of the largest building, metres, for the heights above ground.

    Returns
    -------
    A vertex for each known pixel; `point_index` counts pixels row by row.

    Raises
    ------
    InputError
        No known height, or colours and classes of another shape.

    >>> surface = surface_of_heights(np.zeros((3, 4)), Affine(0.5, 0, 100, 0, -0.5, 200))
    >>> len(surface.vertices), len(surface.faces), surface.origin.tolist()
    (12, 12, [100.0, 198.0, 0.0])
    """
    known = np.isfinite(dsm)
    _check(known, "the surface model", colour, classes)
    rows, columns = np.nonzero(known)
    xy = apply_affine(transform, np.column_stack([columns + 0.5, rows + 0.5]))
    points = np.column_stack([xy, dsm[known]]).astype(np.float64)
    gsd_m = float(np.sqrt(abs(transform.determinant)))
    height = ndsm(dsm, gsd_m=gsd_m, max_building_m=max_building_m)[known]
    return _surface(points, np.floor(points.min(axis=0)), known, height, colour, classes)


def surface_of_depth(
    depth_m: NDArray[np.floating],
    intrinsics: tuple[float, float, float, float],
    *,
    pose: NDArray[np.floating] = LEVEL,
    colour: NDArray[np.uint8] | None = None,
    classes: NDArray[np.uint8] | None = None,
    jump: float = 0.05,
) -> Surface:
    """Make a surface of a depth image: triangles between neighbouring pixels.

    Parameters
    ----------
    depth_m
        (h, w) metres along the viewing direction; 0, NaN and inf where unknown.
    intrinsics
        (fx, fy, cx, cy), pixels; the middle of the first pixel is (0, 0).
    pose
        (4, 4), from camera (x right, y down, z forward) to coordinates whose z is up; by default the camera is level and
        looks north.
    colour
        (3, h, w) uint8.
    classes
        (h, w) uint8 labels.
    jump
        Triangles whose corners' depths differ by more than this share of the smallest are left out: they would join an
        object to what is behind it.

    Returns
    -------
    A vertex for each known pixel, relative to the origin (0, 0, 0), so that poses of cameras hold; `point_index` counts
    pixels row by row. Heights are above the lowest hundredth of the points: the floor.

    Raises
    ------
    InputError
        No known depth, or colours and classes of another shape.

    >>> surface = surface_of_depth(np.array([[2, 2, 5.0], [2, 2, 5.0]]), (2, 2, 1, 0.5))
    >>> len(surface.vertices), len(surface.faces)
    (6, 2)
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    _check(known, "the depth image", colour, classes)
    fx, fy, cx, cy = intrinsics
    rows, columns = np.nonzero(known)
    forward = depth_m[known].astype(np.float64)
    inside = np.column_stack([(columns - cx) / fx * forward, (rows - cy) / fy * forward, forward])
    points = inside @ np.asarray(pose, np.float64)[:3, :3].T + np.asarray(pose, np.float64)[:3, 3]
    height = (points[:, 2] - np.percentile(points[:, 2], FLOOR_PERCENTILE)).astype(np.float32)
    surface = _surface(points, np.zeros(3), known, height, colour, classes)
    of_corners = forward[surface.faces]
    near = of_corners.min(axis=1)
    return replace(surface, faces=surface.faces[of_corners.max(axis=1) - near <= jump * near])


def _surface(
    points: Floats, origin: Floats, known: Mask, height: NDArray[np.float32], colour: NDArray[np.uint8] | None,
    classes: NDArray[np.uint8] | None,
) -> Surface:  # fmt: skip
    vertices = (points - origin).astype(np.float32)
    attributes = surface_attributes(vertices)
    return Surface(
        origin=origin,
        vertices=vertices,
        faces=_faces(known),
        point_index=np.flatnonzero(known),
        verticality=attributes.verticality,
        noise=attributes.noise,
        height_m=height,
        colour=None if colour is None else np.ascontiguousarray(colour[:, known].T),
        classes=None if classes is None else classes[known],
    )


def _faces(known: Mask) -> NDArray[np.int32]:
    """(F, 3) int32: two triangles between four pixels, where their corners are known, counted over the known pixels."""
    number = np.where(known, np.cumsum(known).reshape(known.shape) - 1, -1).astype(np.int32)
    upper_left, upper_right = number[:-1, :-1], number[:-1, 1:]
    lower_left, lower_right = number[1:, :-1], number[1:, 1:]
    halves = ((upper_left, lower_left, upper_right), (upper_right, lower_left, lower_right))
    faces = np.concatenate([np.stack(half, axis=-1).reshape(-1, 3) for half in halves])
    return faces[(faces >= 0).all(axis=1)]


def _check(known: Mask, name: str, colour: NDArray[np.uint8] | None, classes: NDArray[np.uint8] | None) -> None:
    if known.ndim != 2 or not known.any():
        raise InputError(f"{name} has the shape {known.shape} and no known value; expected (h, w) and at least one")
    for layer, values, shape in (("colour", colour, (3, *known.shape)), ("classes", classes, known.shape)):
        if values is not None and values.shape != shape:
            raise InputError(f"{layer} has the shape {values.shape}; expected {shape}, as {name} has it")
