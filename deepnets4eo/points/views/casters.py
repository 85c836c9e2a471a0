"""The faces that a camera sees, by a depth buffer."""

from __future__ import annotations

import numpy as np

from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points.views.camera import BACKGROUND, Camera, FaceView
from deepnets4eo.points.views.surface import Surface


class ZBuffer:
    """Tests, for every face, the pixels of the box around its image.

    Parameters
    ----------
    surface : the surface

    The middle of a pixel belongs to a face when it lies inside or on its edge. Of faces at the same distance the first is
    taken, which is also the rule along edges that faces share. Computed in float64.

    Raises
    ------
    MissingExtraError
        numba is not installed.
    """

    def __init__(self, surface: Surface) -> None:
        self._positions, self._faces = surface.vertices, surface.faces
        if surface.corners is not None:
            self._positions = surface.corners.reshape(-1, 3)
            self._faces = np.arange(len(self._positions), dtype=np.int32).reshape(-1, 3)

    @name_missing_extra()
    def view(self, camera: Camera) -> FaceView:
        """Return the face and the depth of each pixel that a camera sees, between its near and far limits."""
        from deepnets4eo.points.views.caster_kernels import draw_faces

        face = np.full((camera.height_px, camera.width_px), BACKGROUND, np.int32)
        depth = np.full(face.shape, np.inf)
        draw_faces(
            self._positions, self._faces, np.asarray(camera.eye, np.float64), camera.axes(), np.array(camera.focal()),
            camera.near_m, camera.far_m, face, depth,
        )  # fmt: skip
        return FaceView(face, depth.astype(np.float32), camera)
