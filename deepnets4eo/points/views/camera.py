"""A pinhole camera: where it stands, where it looks, and through which pixels.

Coordinates are those of the surface, relative to its origin. Images are as the eye sees them: the camera's right is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, RegionIds
from deepnets4eo.errors import InputError

BACKGROUND = -1


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; the defaults are the published ones of SnapNet.

    Parameters
    ----------
    eye
        (3,) float64, where it stands, metres from the surface's origin.
    target
        (3,) float64, a point that it looks at.
    up
        (3,) float64, the direction that is up in the image; not along the viewing direction.
    field_of_view_deg
        Angle between the left and the right edge of the image, degrees.
    width_px, height_px
        Size of the image.
    near_m, far_m
        What lies nearer or farther along the viewing direction is not seen, metres.
    intrinsics
        (fx, fy, cx, cy), pixels: focal lengths and principal point, in place of the field of view; the middle of the
        first pixel is (0, 0).

    Raises
    ------
    InputError
        A camera that looks at where it stands, or along its up; sizes and limits that leave no image.

    Examples
    --------
    >>> import numpy as np
    >>> camera = Camera(np.array([0, 0, 10.0]), np.zeros(3), np.array([0, 1.0, 0]))
    >>> camera.axes()[2].tolist()
    [0.0, 0.0, -1.0]
    """

    eye: Floats
    target: Floats
    up: Floats
    field_of_view_deg: float = 60.0
    width_px: int = 224
    height_px: int = 224
    near_m: float = 1.0
    far_m: float = 100.0
    intrinsics: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not np.linalg.norm(np.cross(self.target - self.eye, self.up)) > 0:
            raise InputError(
                f"camera at {self.eye.tolist()} looks at {self.target.tolist()} with up {self.up.tolist()}; expected a "
                "target away from it, and an up that is not along the viewing direction"
            )
        if not (0 <= self.near_m < self.far_m and 0 < self.field_of_view_deg < 180):
            raise InputError(
                f"camera: near_m {self.near_m}, far_m {self.far_m}, field_of_view_deg {self.field_of_view_deg}; expected "
                "0 <= near_m < far_m, and a field of view between 0 and 180 degrees"
            )
        if min(self.width_px, self.height_px) < 1:
            raise InputError(f"camera: {self.width_px} x {self.height_px} pixels; expected at least one")

    @classmethod
    def from_pose(
        cls, intrinsics: tuple[float, float, float, float], pose: NDArray[np.floating], width_px: int, height_px: int,
        *, near_m: float = 0.1, far_m: float = 100.0,
    ) -> Camera:  # fmt: skip
        """A camera of known intrinsics and pose.

        Parameters
        ----------
        intrinsics
            (fx, fy, cx, cy), pixels.
        pose
            (4, 4), from camera (x right, y down, z forward) to the surface's coordinates.
        width_px, height_px
            Size of the image.
        near_m, far_m
            Limits along the viewing direction, metres.

        Returns
        -------
        The camera; its target lies a metre in front of it.
        """
        turn, eye = np.asarray(pose, np.float64)[:3, :3], np.asarray(pose, np.float64)[:3, 3]
        return cls(
            eye, eye + turn[:, 2], -turn[:, 1], width_px=width_px, height_px=height_px, near_m=near_m, far_m=far_m,
            intrinsics=intrinsics,
        )  # fmt: skip

    def axes(self) -> Floats:
        """(3, 3) float64, rows of length 1: the camera's right, down and forward."""
        forward = (self.target - self.eye) / np.linalg.norm(self.target - self.eye)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def focal(self) -> tuple[float, float, float, float]:
        """(fx, fy, cx, cy) in pixels: focal lengths and principal point; the middle of the first pixel is (0, 0)."""
        if self.intrinsics is not None:
            return self.intrinsics
        length = self.width_px / 2 / math.tan(math.radians(self.field_of_view_deg) / 2)
        return length, length, (self.width_px - 1) / 2, (self.height_px - 1) / 2

    def rays(self) -> Floats:
        """(H, W, 3) float64: direction of every pixel in the camera's axes, right, down and 1 forward."""
        return _rays(self.width_px, self.height_px, self.focal())


@lru_cache(maxsize=16)
def _rays(width_px: int, height_px: int, focal: tuple[float, float, float, float]) -> Floats:
    fx, fy, cx, cy = focal
    right = np.broadcast_to((np.arange(width_px) - cx) / fx, (height_px, width_px))
    down = np.broadcast_to(((np.arange(height_px) - cy) / fy)[:, None], (height_px, width_px))
    rays = np.stack([right, down, np.ones((height_px, width_px))], axis=-1)
    rays.flags.writeable = False
    return rays


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
