"""Which face each pixel sees, by Embree's ray casting through open3d; without a screen."""

from __future__ import annotations

from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface


class RayCaster:
    """Casts rays at the faces of a surface."""

    def __init__(self, surface: Surface) -> None:
        raise NotImplementedError

    def view(self, camera: Camera) -> FaceView:
        """The faces that a camera sees, between its near and far limits."""
        raise NotImplementedError
