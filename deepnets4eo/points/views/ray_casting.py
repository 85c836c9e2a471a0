"""Which face each pixel sees, by Embree's ray casting through open3d; without a screen."""

from __future__ import annotations

import numpy as np
import open3d
from numpy.typing import NDArray

from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.face_view import BACKGROUND, FaceView, no_faces
from deepnets4eo.points.views.surface import Surface


class RayCaster:
    """Casts a ray through the middle of every pixel; the nearest face that it meets is seen.

    Parameters
    ----------
    surface
        The surface; of up to 2³¹ − 1 faces.

    Of faces at exactly the same distance, and along edges, any may be given. Coordinates are float32, as Embree's are.
    Memory: about 150 bytes a face. All cores that the process may use share a view.
    """

    def __init__(self, surface: Surface) -> None:
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
        """The faces that a camera sees, between its near and far limits.

        Parameters
        ----------
        camera
            The camera.

        Returns
        -------
        The face and the depth of each pixel.
        """
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
