"""Where cameras stand: in a cone over random vertices, on a grid over aerial clouds, in rooms, and near another camera."""

from __future__ import annotations

from deepnets4eo.points.views.camera import Camera
from deepnets4eo.points.views.surface import Surface


def cameras_around(
    surface: Surface,
    directions: int = 500,
    *,
    seed: int,
    distances_m: tuple[float, ...] = (5, 10, 20),
    elevation_deg: tuple[float, float] = (70, 90),
) -> list[Camera]:
    """Cameras over random vertices, `len(distances_m)` of them in each direction."""
    raise NotImplementedError


def cameras_above(
    surface: Surface, *, gsd_m: float = 0.2, overlap: float = 0.5, tilt_deg: float = 45, headings: int = 4
) -> list[Camera]:
    """A grid of cameras that look straight down, and of oblique ones in some headings."""
    raise NotImplementedError


def cameras_indoors(
    surface: Surface, directions: int = 500, *, seed: int, distances_m: tuple[float, ...] = (1, 2, 3)
) -> list[Camera]:
    """Cameras in a room that do not look at the ceiling alone."""
    raise NotImplementedError


def cameras_near(
    camera: Camera, count: int, *, seed: int, pivot_m: float, turn_deg: float = 15, shift: float = 0.1
) -> list[Camera]:
    """Cameras around a given one, turned about a point `pivot_m` in front of it."""
    raise NotImplementedError
