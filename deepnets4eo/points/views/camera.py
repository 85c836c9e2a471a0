"""Pinhole cameras, the faces that they see by a depth buffer, and camera positions.

Cameras are placed in a cone over random vertices, on a grid over aerial clouds, within rooms, or near another camera.

Coordinates are relative to the surface's origin. Images are as the eye sees them: the camera's right is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Floats, Mask, RegionIds
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points.views.surface import Surface

PUBLISHED_DISTANCES_M = (5.0, 10.0, 20.0)

TRIES = 1000  # for one camera that stands in a room
NEAR_INDOORS_M = 0.1
MARGIN_M = 0.2  # of cameras from walls, floor and ceiling
LOWER = 2 / 3  # of the height of a room: what is looked at, since the ceiling shows little

BACKGROUND = -1


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; the defaults are the published defaults of SnapNet.

    Parameters
    ----------
    eye, target : (3,) float64, the camera's position and a point that it looks at, metres from the surface's origin
    up : (3,) float64, the direction that is up in the image; not along the viewing direction
    field_of_view_deg : angle between the left and the right edge of the image, degrees
    width_px, height_px : size of the image
    near_m, far_m : limits of the visible depth along the viewing direction, metres
    intrinsics : (fx, fy, cx, cy) as for `focal`, in place of the field of view

    Raises
    ------
    InputError
        The camera looks along its up direction or at its own position, or sizes and limits leave no image.

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
    #: Pose whose z forward becomes y, and whose y down becomes -z.
    level: ClassVar[Floats] = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])

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
        """Return a camera with intrinsics in the form of `focal`, and a pose (4, 4) from camera
        (x right, y down, z forward) to the surface's coordinates.

        The target is a metre in front of the camera.
        """
        turn, eye = np.asarray(pose, np.float64)[:3, :3], np.asarray(pose, np.float64)[:3, 3]
        return cls(
            eye, eye + turn[:, 2], -turn[:, 1], width_px=width_px, height_px=height_px, near_m=near_m, far_m=far_m,
            intrinsics=intrinsics,
        )  # fmt: skip

    def axes(self) -> Floats:
        """Return (3, 3) float64, rows of length 1: the camera's right, down and forward."""
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
        """Return (H, W, 3) float64: directions of pixels, right, down and 1 forward."""
        return _rays(self.width_px, self.height_px, self.focal())

    @staticmethod
    def around(
        surface: Surface,
        directions: int = 500,
        *,
        seed: int,
        distances_m: Sequence[float] = PUBLISHED_DISTANCES_M,
        elevation_deg: tuple[float, float] = (70, 90),
    ) -> list[Camera]:
        """Cameras above random vertices: the published sampler of SnapNet.

        Parameters
        ----------
        surface : each camera looks at one of its vertices
        directions : how many vertices are looked at; published results need 500 to 800, the public code has 10
        seed : of the random numbers
        distances_m : of the cameras of one direction from its vertex, metres
        elevation_deg : lowest and highest angle of the cameras above the horizon, degrees; 90 looks straight down

        Returns
        -------
        directions x distances cameras

        Raises
        ------
        InputError
            No vertices, angles outside -90 to 90 degrees, distances not above 0.

        >>> from deepnets4eo.points.views import make_surface
        >>> from deepnets4eo.points import PointCloud
        >>> surface = make_surface(PointCloud(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])))
        >>> len(Camera.around(surface, 10, seed=0))
        30
        """
        _check(surface, distances_m, elevation_deg)
        rng = np.random.default_rng(seed)
        cameras = []
        for _ in range(directions):
            target = surface.vertices[rng.integers(len(surface.vertices))].astype(np.float64)
            azimuth, elevation = rng.uniform(0, 360), rng.uniform(*elevation_deg)
            cameras += [_towards(target, azimuth, elevation, distance) for distance in distances_m]
        return cameras

    @staticmethod
    def above(
        surface: Surface, *, gsd_m: float = 0.2, overlap: float = 0.5, tilt_deg: float = 45, headings: int = 4
    ) -> list[Camera]:
        """Return a grid of cameras that look down, and of oblique cameras, as in aerial surveys.

        Parameters
        ----------
        surface : the surface; cells without vertices get no camera
        gsd_m : ground size of a pixel in the middle of a view, metres
        overlap : share of a view that the next view of the row shows again, 0 to below 1
        tilt_deg : angle of the oblique views from straight down, degrees
        headings : directions of oblique cameras at each position; 0 means no oblique cameras

        Returns
        -------
        At each position one camera that looks down, then the oblique cameras.

        Raises
        ------
        InputError
            The surface has no vertices, or numbers are outside the ranges above.
        """
        if not (gsd_m > 0 and 0 <= overlap < 1 and 0 < tilt_deg < 90 and headings >= 0):
            raise InputError(
                f"Camera.above: gsd_m {gsd_m}, overlap {overlap}, tilt_deg {tilt_deg}, headings {headings}; expected more than 0, "
                "0 to below 1, between 0 and 90, and 0 or more"
            )
        _check(surface)
        model = Camera(np.zeros(3), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))  # its size and angle
        length, *_ = model.focal()
        distance = gsd_m * length
        cameras = []
        for target in _grid(surface, gsd_m * model.width_px * (1 - overlap)):
            cameras.append(_towards(target, 270, 90, distance))
            cameras += [
                _towards(target, 270 + 360 * heading / headings, 90 - tilt_deg, distance) for heading in range(headings)
            ]
        reach = distance + float(np.ptp(surface.vertices[:, 2])) + 2 * gsd_m * model.width_px
        return [replace(camera, far_m=max(camera.far_m, reach)) for camera in cameras]

    @staticmethod
    def indoors(
        surface: Surface,
        directions: int = 500,
        *,
        seed: int,
        distances_m: Sequence[float] = (1.0, 2.0, 3.0),
        elevation_deg: tuple[float, float] = (-15, 45),
    ) -> list[Camera]:
        """Place cameras within the box of a room, looking at its lower two thirds.

        Parameters
        ----------
        surface : the surface of a room; each camera looks at one of its vertices
        directions : number of vertices that are looked at
        seed : seed of the random numbers
        distances_m : distances of the cameras of one direction from its vertex, metres; shorter if a wall would be in the way
        elevation_deg : lowest and highest angle of the cameras above the horizon, seen from the vertex, degrees

        Returns
        -------
        directions x distances cameras

        Raises
        ------
        InputError
            The surface has no vertices, or no camera fits in the room; ranges as for `Camera.around`.
        """
        _check(surface, distances_m, elevation_deg)
        rng = np.random.default_rng(seed)
        low, high = surface.vertices.min(axis=0) + MARGIN_M, surface.vertices.max(axis=0) - MARGIN_M
        lower = np.flatnonzero(surface.vertices[:, 2] <= low[2] + LOWER * (high[2] - low[2]))
        cameras: list[Camera] = []
        for _ in range(directions if len(lower) and (high > low).all() else 0):
            for _ in range(TRIES):
                target = surface.vertices[rng.choice(lower)].astype(np.float64)
                azimuth, elevation = rng.uniform(0, 360), rng.uniform(*elevation_deg)
                views = [_towards(target, azimuth, elevation, distance) for distance in distances_m]
                inside = [view for view in views if (view.eye > low).all() and (view.eye < high).all()]
                if inside:
                    cameras += [
                        replace(view if view in inside else inside[-1], near_m=NEAR_INDOORS_M) for view in views
                    ]  # fmt: skip
                    break
        if len(cameras) < directions * len(distances_m):
            raise InputError(
                f"the surface is {' x '.join(f'{side:.1f}' for side in np.ptp(surface.vertices, axis=0))} m large; expected a room in "
                f"which a camera stands {min(distances_m)} m from what it looks at. Choose shorter distances_m, or cameras around."
            )
        return cameras

    @staticmethod
    def near(
        camera: Camera, count: int, *, seed: int, pivot_m: float, turn_deg: float = 15, shift: float = 0.1
    ) -> list[Camera]:
        """Return `count` cameras turned about a point `pivot_m` metres in front of a given camera: the resampled views of
        SnapNet-R.

        They turn by up to `turn_deg` each way; their distance changes by up to the share `shift`.

        Raises InputError for a pivot behind it, turns of 90 degrees or more, shifts of the whole distance.
        """
        if not (pivot_m > 0 and 0 <= turn_deg < 90 and 0 <= shift < 1):
            raise InputError(
                f"Camera.near: pivot_m {pivot_m}, turn_deg {turn_deg}, shift {shift}; expected more than 0, 0 to below 90, "
                "and 0 to below 1"
            )
        rng = np.random.default_rng(seed)
        right, down, forward = camera.axes()
        pivot = camera.eye + pivot_m * forward
        cameras = []
        for _ in range(count):
            sideways, upwards = np.radians(rng.uniform(-turn_deg, turn_deg, 2))
            away = -forward * math.cos(sideways) + right * math.sin(sideways)
            away = away * math.cos(upwards) - down * math.sin(upwards)
            distance = pivot_m * (1 + rng.uniform(-shift, shift))
            cameras.append(replace(camera, eye=pivot + distance * away, target=pivot, up=-down))
        return cameras


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
    """The face (H, W) int32 that each pixel sees, -1 for background, and depth (H, W) float32 along the viewing
    direction, metres, inf for background."""

    face: RegionIds
    depth_m: FloatImage
    camera: Camera

    @property
    def seen(self) -> Mask:
        """Return (H, W) bool: pixels that show a face."""
        return self.face != BACKGROUND

    def values(self, of_faces: NDArray[np.uint8], background: int) -> ByteImage:
        """Return the values (H, W) of the faces that pixels show, from values (F,) of all faces."""
        values = np.full(self.face.shape, background, np.uint8)
        values[self.seen] = of_faces[self.face[self.seen]]
        return values


def check_of_surface(view: FaceView, faces: int) -> None:
    """Raise InputError for a view of another surface."""
    lowest, highest = int(view.face.min()), int(view.face.max())
    if lowest < BACKGROUND or highest >= faces:
        raise InputError(
            f"the view shows faces {lowest} to {highest} of a surface of {faces:,}; expected -1 to {faces - 1}. Give the "
            "surface that the view is of"
        )


class ZBuffer:
    """Depth buffer that tests, for every face, the pixels of the box around its image.

    Parameters
    ----------
    surface : the surface

    A pixel belongs to a face if its centre lies inside the face or on its edge. Among faces at equal distance the
    first counts, also along shared edges.

    Computed in float64.

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


def _towards(target: Floats, azimuth_deg: float, elevation_deg: float, distance_m: float) -> Camera:
    """Return a camera at an azimuth (counterclockwise from east) and an elevation seen from its target.

    The up direction remains defined if the camera looks straight down."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    level = np.array([math.cos(azimuth), math.sin(azimuth), 0])
    vertical = np.array([0, 0, 1.0])
    away = level * math.cos(elevation) + vertical * math.sin(elevation)
    up = vertical * math.cos(elevation) - level * math.sin(elevation)
    return Camera(target + distance_m * away, target, up, near_m=min(1, distance_m / 2))


def _grid(surface: Surface, step_m: float) -> Iterator[Floats]:
    """Yield the middle of each square cell that has vertices, at the median height of these vertices."""
    column = np.floor(surface.vertices[:, :2] / step_m).astype(np.int64)
    column -= column.min(axis=0)
    number = column[:, 0] * (int(column[:, 1].max()) + 1) + column[:, 1]
    order = np.argsort(number, kind="stable")
    for cell in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        low = np.floor(surface.vertices[cell[0], :2] / step_m)
        yield np.append((low + 0.5) * step_m, np.median(surface.vertices[cell, 2])).astype(np.float64)


def _check(
    surface: Surface, distances_m: Sequence[float] = PUBLISHED_DISTANCES_M, elevation_deg: tuple[float, float] = (0, 90)
) -> None:
    if not len(surface.vertices):
        raise InputError("the surface has no vertices; expected at least one to look at")
    if not distances_m or min(distances_m) <= 0:
        raise InputError(f"distances_m are {tuple(distances_m)}; expected one or more, above 0")
    if not -90 <= elevation_deg[0] <= elevation_deg[1] <= 90:
        raise InputError(f"elevation_deg is {elevation_deg}; expected the lower and the upper angle within -90 to 90")
