"""Where cameras stand: in a cone over random vertices, on a grid over aerial clouds, in rooms, and near another camera."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.surface import Surface

PUBLISHED_DISTANCES_M = (5.0, 10.0, 20.0)
TRIES = 1000  # for one camera that stands in a room
MARGIN_M = 0.2  # of cameras from walls, floor and ceiling


def cameras_around(
    surface: Surface,
    directions: int = 500,
    *,
    seed: int,
    distances_m: Sequence[float] = PUBLISHED_DISTANCES_M,
    elevation_deg: tuple[float, float] = (70, 90),
) -> list[Camera]:
    """Cameras above random vertices, several in each direction: the published sampler of SnapNet.

    Parameters
    ----------
    surface
        The surface; each camera looks at one of its vertices.
    directions
        How many vertices are looked at. Published results need 500 to 800; 10, the default of the public code, does not
        reproduce them.
    seed
        The seed of the random numbers.
    distances_m
        Cameras of one direction stand so far from its vertex, metres.
    elevation_deg
        Lowest and highest angle of the cameras above the horizon, seen from the vertex, degrees; 90 looks straight down.

    Returns
    -------
    directions x distances cameras; those of one direction follow each other.

    Raises
    ------
    InputError
        A surface without vertices, angles outside -90 to 90 degrees, distances not above 0.

    >>> from deepnets4eo.points.views.cloud_surface import make_surface
    >>> from deepnets4eo.points import PointCloud
    >>> surface = make_surface(PointCloud(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])))
    >>> len(cameras_around(surface, 10, seed=0))
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


def cameras_above(
    surface: Surface, *, gsd_m: float = 0.2, overlap: float = 0.5, tilt_deg: float = 45, headings: int = 4
) -> list[Camera]:
    """A grid of cameras that look straight down, and of oblique ones, as aerial surveys have them.

    Parameters
    ----------
    surface
        The surface; where it has no vertices stands no camera.
    gsd_m
        Ground size of a pixel in the middle of a view, metres.
    overlap
        Share of a view that the next one of the same row shows again, 0 to below 1.
    tilt_deg
        Angle of the oblique views from straight down, degrees.
    headings
        In how many directions oblique cameras look at each position; 0 leaves them out.

    Returns
    -------
    At each position one camera that looks down, then the oblique ones.

    Raises
    ------
    InputError
        A surface without vertices, or numbers outside the ranges above.
    """
    if not (gsd_m > 0 and 0 <= overlap < 1 and 0 < tilt_deg < 90 and headings >= 0):
        raise InputError(
            f"cameras_above: gsd_m {gsd_m}, overlap {overlap}, tilt_deg {tilt_deg}, headings {headings}; expected more than 0, "
            "0 to below 1, between 0 and 90, and 0 or more"
        )
    _check(surface)
    length, *_ = _MODEL.focal()
    distance = gsd_m * length
    cameras = []
    for target in _grid(surface, gsd_m * _MODEL.width_px * (1 - overlap)):
        cameras.append(_towards(target, 270, 90, distance))
        cameras += [_towards(target, 270 + 360 * one / headings, 90 - tilt_deg, distance) for one in range(headings)]
    reach = distance + float(np.ptp(surface.vertices[:, 2])) + 2 * gsd_m * _MODEL.width_px
    return [replace(camera, far_m=max(camera.far_m, reach)) for camera in cameras]


def cameras_indoors(
    surface: Surface,
    directions: int = 500,
    *,
    seed: int,
    distances_m: Sequence[float] = (1.0, 2.0, 3.0),
    elevation_deg: tuple[float, float] = (-15, 45),
) -> list[Camera]:
    """Cameras in a room: they stand within its walls, and look at what lies below its upper third.

    Parameters
    ----------
    surface
        The surface of a room, whose box the cameras do not leave.
    directions
        How many vertices are looked at.
    seed
        The seed of the random numbers.
    distances_m
        Cameras of one direction stand so far from its vertex, metres, or nearer where a wall would be in the way.
    elevation_deg
        Lowest and highest angle of the cameras above the horizon, seen from the vertex, degrees.

    Returns
    -------
    directions x distances cameras; those of one direction follow each other.

    Raises
    ------
    InputError
        A surface without vertices, and a room in which no camera can stand.
    """
    _check(surface, distances_m, elevation_deg)
    rng = np.random.default_rng(seed)
    low, high = surface.vertices.min(axis=0) + MARGIN_M, surface.vertices.max(axis=0) - MARGIN_M
    lower = np.flatnonzero(surface.vertices[:, 2] <= low[2] + 2 / 3 * (high[2] - low[2]))
    if not (len(lower) and (high > low).all()):
        raise InputError(
            f"the surface is {np.ptp(surface.vertices, axis=0).tolist()} m large; expected a room to stand in"
        )
    cameras: list[Camera] = []
    for _ in range(directions):
        for _ in range(TRIES):
            target = surface.vertices[rng.choice(lower)].astype(np.float64)
            azimuth, elevation = rng.uniform(0, 360), rng.uniform(*elevation_deg)
            views = [_towards(target, azimuth, elevation, distance, near_m=0.1) for distance in distances_m]
            inside = [view for view in views if (view.eye > low).all() and (view.eye < high).all()]
            if inside:
                break
        else:
            raise InputError(
                f"no camera {min(distances_m)} m from a vertex stands in the room. Choose shorter distances_m"
            )
        cameras += [view if view in inside else inside[-1] for view in views]
    return cameras


def cameras_near(
    camera: Camera, count: int, *, seed: int, pivot_m: float, turn_deg: float = 15, shift: float = 0.1
) -> list[Camera]:
    """Cameras around another one, turned about a point in front of it: the resampled views of SnapNet-R.

    Parameters
    ----------
    camera
        The camera of the frame.
    count
        How many cameras.
    seed
        The seed of the random numbers.
    pivot_m
        Distance of the point they are turned about, metres: about that of the scene's middle.
    turn_deg
        Largest angle to the right, left, up and down, degrees.
    shift
        Largest change of the distance to the point, as a share of it.

    Returns
    -------
    The cameras, of the same pixels and limits.

    Raises
    ------
    InputError
        A pivot that is not in front of the camera, turns of 90 degrees or more, shifts of the whole distance.
    """
    if not (pivot_m > 0 and 0 <= turn_deg < 90 and 0 <= shift < 1):
        raise InputError(
            f"cameras_near: pivot_m {pivot_m}, turn_deg {turn_deg}, shift {shift}; expected more than 0, 0 to below 90, "
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


_MODEL = Camera(np.zeros(3), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))


def _towards(target: Floats, azimuth_deg: float, elevation_deg: float, distance_m: float, near_m: float = 1) -> Camera:
    """Return a camera at an azimuth (counterclockwise from east) and an elevation seen from its target. Up is the
    vertical tilted away from the target, which stays defined where it looks straight down."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    level = np.array([math.cos(azimuth), math.sin(azimuth), 0])
    vertical = np.array([0, 0, 1.0])
    away = level * math.cos(elevation) + vertical * math.sin(elevation)
    up = vertical * math.cos(elevation) - level * math.sin(elevation)
    return Camera(target + distance_m * away, target, up, near_m=min(near_m, distance_m / 2))


def _grid(surface: Surface, step_m: float) -> Iterator[Floats]:
    """The middle of each square cell that has vertices, at the height of the middle one of these."""
    for cell in _cells(surface, step_m):
        heights = surface.vertices[cell, 2]
        low = np.floor(surface.vertices[cell[0], :2] / step_m)
        yield np.append((low + 0.5) * step_m, np.median(heights)).astype(np.float64)


def _cells(surface: Surface, step_m: float) -> list[np.ndarray]:
    column = np.floor(surface.vertices[:, :2] / step_m).astype(np.int64)
    column -= column.min(axis=0)
    number = column[:, 0] * (int(column[:, 1].max()) + 1) + column[:, 1]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _check(
    surface: Surface, distances_m: Sequence[float] = PUBLISHED_DISTANCES_M, elevation_deg: tuple[float, float] = (0, 90)
) -> None:
    if not len(surface.vertices):
        raise InputError("the surface has no vertices; expected at least one to look at")
    if not distances_m or min(distances_m) <= 0:
        raise InputError(f"distances_m are {tuple(distances_m)}; expected one or more, above 0")
    if not -90 <= elevation_deg[0] <= elevation_deg[1] <= 90:
        raise InputError(f"elevation_deg is {elevation_deg}; expected the lower and the upper angle within -90 to 90")
