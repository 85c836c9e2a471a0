"""The faces that a camera sees: by ray casting where open3d can be loaded, by a depth buffer elsewhere.

Takes a surface and cameras; returns the face and the depth of each pixel."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.points.views.camera import BACKGROUND, Camera, Caster, FaceView, no_faces
from deepnets4eo.points.views.surface import Surface

MOST_PAIRS = 1 << 20  # of a face and a pixel that are tested at once
FACES_AT_ONCE = 1 << 17
PAD_PX = 0.01  # of the box around a face, against rounding

_log = logging.getLogger(__name__)


def ray_caster(surface: Surface) -> Caster:
    """Choose what finds the faces that cameras see.

    Parameters
    ----------
    surface : the surface

    Returns
    -------
    A `RayCaster`; where open3d or one of its system libraries is missing a `ZBuffer`, which is slower and sees the same
    faces. One line in the log, once, says so.
    """
    return RayCaster(surface) if _open3d_loads() else ZBuffer(surface)


@cache
def _open3d_loads() -> bool:
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a system library such as libusb-1.0 is missing
        _log.warning(
            'open3d cannot be loaded (%s); views are computed by the slower depth buffer. Install it: pip install '
            '"deepnets4eo[points]", and its system libraries: apt-get install libusb-1.0-0 libgl1 libgomp1',
            str(error).splitlines()[0],
        )  # fmt: skip
        return False
    return True


class RayCaster:
    """Casts a ray through the middle of every pixel; the nearest face that it meets is seen, any one at equal distance
    and along edges. Coordinates are float32, as Embree's are; up to 2³¹ − 1 faces. Memory: about 150 bytes a face; all
    cores share a view."""

    def __init__(self, surface: Surface) -> None:
        import open3d

        if surface.corners is None:
            positions, faces = surface.vertices, surface.faces.astype(np.uint32)
        else:
            positions = surface.corners.reshape(-1, 3)
            faces = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
        self._empty = len(faces) == 0
        self._scene = open3d.t.geometry.RaycastingScene()
        if not self._empty:
            of_numpy = open3d.core.Tensor.from_numpy
            self._scene.add_triangles(of_numpy(np.ascontiguousarray(positions)), of_numpy(faces))

    def view(self, camera: Camera) -> FaceView:
        """Return the face and the depth of each pixel that a camera sees, between its near and far limits."""
        import open3d

        if self._empty:
            return no_faces(camera)
        rays = _world_rays(camera)
        answer = self._scene.cast_rays(open3d.core.Tensor.from_numpy(rays))
        depth = answer["t_hit"].numpy() + np.float32(camera.near_m)
        face = (
            answer["primitive_ids"].numpy().view(np.int32)
        )  # where a ray meets nothing: 2³² - 1, which is -1, and inf
        beyond = depth > camera.far_m
        face[beyond], depth[beyond] = BACKGROUND, np.inf
        return FaceView(face, depth, camera)


def _world_rays(camera: Camera) -> NDArray[np.float32]:
    """Return (H, W, 6) where the ray of each pixel crosses the near limit, and its direction. A direction is the sum of
    one of its column and one of its row, which takes a quarter of the time of a product of matrices."""
    along = camera.rays()
    right, down, forward = camera.axes()
    columns, rows = along[0, :, :1] * right + forward, along[:, 0, 1:2] * down
    columns = np.hstack([camera.eye + camera.near_m * columns, columns])
    rows = np.hstack([camera.near_m * rows, rows])
    rays = np.tile(rows, (1, camera.width_px))
    rays += columns.ravel()
    return rays.astype(np.float32).reshape(camera.height_px, camera.width_px, 6)


class _Boxes(NamedTuple):
    """The boxes of n faces: numbers (n,), corners (n, 3, 3) in the camera's axes, first pixel and extent (n, 2), columns first."""

    number: Indices
    corners: Floats
    first: Indices
    extent: Indices


class ZBuffer:
    """Tests, for every face, the pixels of the box around its image.

    Parameters
    ----------
    surface : the surface

    The middle of a pixel belongs to a face when it lies inside or on its edge. Of faces at the same distance the first is
    given, which is also the rule along edges that faces share. Computed in float64.
    Memory: 100 MiB beside the surface.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    def view(self, camera: Camera) -> FaceView:
        """Return the face and the depth of each pixel that a camera sees, between its near and far limits."""
        rays = camera.rays().reshape(-1, 3)
        depth, face = np.full(len(rays), np.inf), np.full(len(rays), np.iinfo(np.int64).max)
        for boxes in self._faces_in_view(camera):
            for number, pixel in _pairs(boxes, camera.width_px):
                _keep_nearest(boxes, number, pixel, rays, camera, depth, face)
        view = no_faces(camera)
        seen = np.isfinite(depth).reshape(view.face.shape)
        view.face[seen] = face.reshape(view.face.shape)[seen]
        view.depth_m[seen] = depth.reshape(view.face.shape)[seen]
        return view

    def _faces_in_view(self, camera: Camera) -> Iterator[_Boxes]:
        axes, surface = camera.axes(), self._surface
        for start in range(0, len(surface.faces), FACES_AT_ONCE):
            part = slice(start, start + FACES_AT_ONCE)
            corners = surface.vertices[surface.faces[part]] if surface.corners is None else surface.corners[part]
            inside = (corners - camera.eye) @ axes.T
            forward = inside[..., 2]
            near = np.flatnonzero((forward.max(axis=1) >= camera.near_m) & (forward.min(axis=1) <= camera.far_m))
            yield _boxes(near + start, inside[near], camera)


def _boxes(number: Indices, corners: Floats, camera: Camera) -> _Boxes:
    """The pixels around the image of what lies beyond the near limit of each face, where any are in the image."""
    size = np.array([camera.width_px, camera.height_px])
    low, high = _image_bounds(corners, camera)
    first = np.maximum(np.ceil(low - PAD_PX), 0)
    last = np.minimum(np.floor(high + PAD_PX), size - 1)
    kept = np.flatnonzero((first <= last).all(axis=1))
    first, last = first[kept].astype(np.int64), last[kept].astype(np.int64)
    return _Boxes(number[kept], corners[kept], first, last - first + 1)


def _image_bounds(corners: Floats, camera: Camera) -> tuple[Floats, Floats]:
    """(n, 2) lowest and highest column and row of the image of each face, cut off at the near limit."""
    fx, fy, cx, cy = camera.focal()
    near = max(camera.near_m, 1e-6)
    forward = corners[..., 2]
    following = corners[:, (1, 2, 0)]
    rise = following[..., 2] - forward
    crosses = (forward < near) != (following[..., 2] < near)
    share = np.divide(near - forward, rise, out=np.zeros_like(rise), where=crosses)
    cuts = corners + share[..., None] * (following - corners)
    points = np.concatenate([corners, cuts], axis=1)
    counted = np.concatenate([forward >= near, crosses], axis=1)
    ahead = np.where(counted, points[..., 2], 1)
    image = np.stack([fx * points[..., 0] / ahead + cx, fy * points[..., 1] / ahead + cy], axis=-1)
    low = np.where(counted[..., None], image, np.inf).min(axis=1)
    return low, np.where(counted[..., None], image, -np.inf).max(axis=1)


def _pairs(boxes: _Boxes, width_px: int) -> Iterator[tuple[Indices, Indices]]:
    """Every pixel of every box, in portions: (face within the boxes, pixel counted row by row)."""
    area = boxes.extent[:, 0] * boxes.extent[:, 1]
    ends = np.cumsum(area)
    for start in range(0, int(ends[-1]) if len(ends) else 0, MOST_PAIRS):
        pair = np.arange(start, min(start + MOST_PAIRS, int(ends[-1])))
        number = np.searchsorted(ends, pair, side="right")
        row, column = np.divmod(pair - (ends - area)[number], boxes.extent[number, 0])
        yield number, (boxes.first[number, 1] + row) * width_px + boxes.first[number, 0] + column


def _keep_nearest(
    boxes: _Boxes, number: Indices, pixel: Indices, rays: Floats, camera: Camera, depth: Floats, face: Indices
) -> None:
    """Write faces that a pixel sees nearer than before, or as near and earlier in their order, to depth and face."""
    distance = _depth_on_faces(boxes.corners, number, rays[pixel])
    hit = np.flatnonzero((distance >= camera.near_m) & (distance <= camera.far_m))
    pixel, distance, number = pixel[hit], distance[hit], boxes.number[number[hit]]
    before = depth.copy()
    np.minimum.at(depth, pixel, distance)
    face[depth < before] = np.iinfo(np.int64).max
    first = distance == depth[pixel]
    np.minimum.at(face, pixel[first], number[first])


def _depth_on_faces(corners: Floats, number: Indices, rays: Floats) -> Floats:
    """(p,) depth at which each ray meets its face; NaN where it passes by, and for faces seen along their plane."""
    first, second, third = np.moveaxis(corners, 1, 0)
    planes = np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)], axis=1)
    volume = np.einsum("nc,nc->n", first, planes[:, 0])
    edges = np.einsum("pec,pc->pe", planes[number], rays)
    inside = (edges >= 0).all(axis=1) | (edges <= 0).all(axis=1)
    total = edges.sum(axis=1)
    met: NDArray[np.bool_] = inside & (total != 0)
    return np.divide(volume[number], total, out=np.full(len(total), np.nan), where=met)
