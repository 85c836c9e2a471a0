"""Which face each pixel sees, by a depth buffer in NumPy: the same ids as ray casting gives, where open3d is absent."""

from __future__ import annotations

from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface


class ZBuffer:
    """Projects the faces of a surface."""

    def __init__(self, surface: Surface) -> None:
        raise NotImplementedError

    def view(self, camera: Camera) -> FaceView:
        """The faces that a camera sees, between its near and far limits."""
        raise NotImplementedError
