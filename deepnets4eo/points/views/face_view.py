"""What a camera sees of a surface: which face at each pixel, and how far away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask, RegionIds
from deepnets4eo.errors import InputError
from deepnets4eo.points.views.camera import Camera

BACKGROUND = -1


@dataclass(frozen=True, eq=False)
class FaceView:
    """The faces that a camera sees.

    Parameters
    ----------
    face
        (H, W) int32, number of the face, -1 for background.
    depth_m
        (H, W) float32, metres along the viewing direction; inf where background.
    camera
        The camera.
    """

    face: RegionIds
    depth_m: FloatImage
    camera: Camera

    @property
    def seen(self) -> Mask:
        """(H, W) bool: pixels that show a face; what look-ups by face must be limited to."""
        return self.face != BACKGROUND


class Caster(Protocol):
    """What finds the faces that cameras see: `RayCaster` and `ZBuffer`."""

    def view(self, camera: Camera) -> FaceView:
        """The faces that a camera sees, between its near and far limits."""


def check_of_surface(view: FaceView, faces: int) -> None:
    """Raise InputError for a view of another surface, with numbers of faces outside -1 to one less than there are."""
    lowest, highest = int(view.face.min()), int(view.face.max())
    if lowest < BACKGROUND or highest >= faces:
        raise InputError(
            f"the view shows faces {lowest} to {highest} of a surface of {faces:,}; expected -1 to {faces - 1}. Give the "
            "surface that the view is of"
        )


def no_faces(camera: Camera) -> FaceView:
    """The view of a camera that sees background alone."""
    shape = (camera.height_px, camera.width_px)
    depth: NDArray[np.float32] = np.full(shape, np.inf, np.float32)
    return FaceView(np.full(shape, BACKGROUND, np.int32), depth, camera)
