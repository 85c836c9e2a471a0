"""A rigid motion of heights, and heights of one date moved by it: points exactly, surface models to first order of their tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.grid import Grid, apply_affine


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """Rotation (3, 3) about a `centre` (3,), then a shift (3,), metres; moves coordinates of one date onto the first."""

    rotation: Floats
    shift: Floats
    centre: Floats

    @classmethod
    def upwards(cls, by_m: float, centre: Floats) -> RigidMotion:
        """Return a motion that only shifts the height."""
        return cls(np.eye(3), np.array([0.0, 0.0, by_m]), centre)

    def apply(self, xyz: Floats) -> Floats:
        """Return (N, 3) moved coordinates."""
        return (xyz - self.centre) @ self.rotation.T + (self.centre + self.shift)

    def followed_by(self, turn: Floats, shift: Floats) -> RigidMotion:
        """Return this motion followed by a small motion about the same centre: a rotation vector (3,) in radians and a shift (3,)."""
        own = rotation_of(turn)
        return RigidMotion(own @ self.rotation, own @ self.shift + shift, self.centre)

    @property
    def turn_deg(self) -> float:
        """Rotation in the plane, degrees, counterclockwise."""
        return float(np.degrees(np.arctan2(self.rotation[1, 0], self.rotation[0, 0])))

    @property
    def tilt_deg(self) -> float:
        """Angle between the verticals of both dates, degrees."""
        return float(np.degrees(np.arctan2(np.hypot(self.rotation[0, 2], self.rotation[1, 2]), self.rotation[2, 2])))

    def grid_of(self, grid: Grid) -> Grid:
        """Return the grid of a surface model after the motion; it is exact for cells at the height of the centre."""
        (a, b, _), (d, e, _) = self.rotation[:2]
        x, y = self.centre[:2]
        dx, dy = self.shift[:2]
        turned = Affine(a, b, x + dx - a * x - b * y, d, e, y + dy - d * x - e * y)
        return GeoBox((grid.shape[0], grid.shape[1]), turned * grid.affine, grid.crs)

    def raise_heights(self, heights: FloatImage, grid: Grid) -> FloatImage:
        """Heights (h, w) of a surface model on its grid, as they are after the motion."""
        rows, cols = np.indices(heights.shape)
        positions = apply_affine(grid.affine, np.stack([cols, rows], axis=-1, dtype=np.float64) + 0.5) - self.centre[:2]
        by = positions @ self.rotation[2, :2] + (self.rotation[2, 2] - 1) * (heights - self.centre[2]) + self.shift[2]
        return (heights + by).astype(np.float32)


def rotation_of(turn: Floats) -> Floats:
    """Return the matrix (3, 3) of a rotation vector (3,) in radians.

    >>> rotation_of(np.array([0, 0, np.pi / 2])).round(9).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(turn).as_matrix())
