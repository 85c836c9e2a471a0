"""The result of a registration: the model, its quality, and the tie points behind it.

Moves coordinates between the images, never pixels. A failed registration keeps the metadata geometry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Points
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.rasters.stated_gsd import length_unit
from deepnets4eo.registration.ground import crs_change
from deepnets4eo.registration.quality import RegistrationQuality, Status

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

TIE_COLUMNS = ("dx_m", "dy_m", "residual_m", "quality", "ratio", "reliable", "inlier", "holdout")


@dataclass(frozen=True)
class Registration:
    """How the pre image lies against the post image.

    Parameters
    ----------
    status, reason
        "ok", "degraded" or "failed", and why it is not "ok".
    model
        "translation", "similarity" or "affine".
    matrix
        (2, 3) float64; maps (col, row) of a thing in the post grid to the displaced (col, row), still in the post
        grid, whose ground coordinates show the same thing in the pre image. Identity when the status is "failed".
    dx_m, dy_m
        That displacement at the middle of the overlap, metres along the post grid's columns (right) and rows (down).
    measured
        The numbers that the status follows from.
    post_grid, pre_grid
        The grids of the post image and of the pre image.
    ties
        Columns of the tie points; `tie_points` has them as a table.
    """

    status: Status
    reason: str
    model: str
    matrix: NDArray[np.float64]
    dx_m: float
    dy_m: float
    measured: RegistrationQuality
    post_grid: Grid = field(repr=False)
    pre_grid: Grid = field(repr=False)
    ties: dict[str, NDArray[Any]] = field(repr=False)

    @property
    def usable(self) -> bool:
        """Whether the pre image can be used: the registration did not fail."""
        return self.status != "failed"

    @property
    def shift_m(self) -> float:
        """Length of the displacement at the middle of the overlap."""
        return float(np.hypot(self.dx_m, self.dy_m))

    @property
    def residual_m(self) -> float:
        """Root mean square of the hold-out tie points' residuals; NaN when none agrees with the model."""
        return self.measured.residual_m

    @property
    def residual_px(self) -> float:
        """The same in working pixels, the coarser of the two images' pixel sizes."""
        return self.measured.residual_m / self.measured.gsd_m

    @property
    def inliers(self) -> int:
        """Tie points that agree with the model, hold-out ones included."""
        return int(self.ties["inlier"].sum())

    @property
    def improvement(self) -> float:
        """Gain of the median gradient correlation over the hold-out windows."""
        return self.measured.ncc_after - self.measured.ncc_before

    @property
    def unit(self) -> str:
        """Unit of all lengths: "m", or "px" where the post image has no CRS."""
        return length_unit(self.post_grid)

    @property
    def tie_points(self) -> GeoDataFrame:
        """One row per window: where it lies in the post image (its CRS), displacement, quality, inlier, holdout."""
        import geopandas

        ground = apply_affine(self.post_grid.affine, self.ties["pixel"])
        crs = None if self.post_grid.crs is None else self.post_grid.crs.to_wkt()
        points = geopandas.points_from_xy(ground[:, 0], ground[:, 1], crs=crs)
        return geopandas.GeoDataFrame({name: self.ties[name] for name in TIE_COLUMNS}, geometry=points)

    def to_pre(self, points_xy: Points) -> Points:
        """Ground coordinates of things in the post image → where the pre image shows them.

        points_xy : (N, 2) float64, x and y in the post image's CRS (pixels where it has none).
        returns : (N, 2) float64, x and y in the pre image's CRS.
        """
        moved = apply_affine(self._ground(self._affine), np.asarray(points_xy, float))
        return crs_change(self.post_grid, self.pre_grid)(moved)

    def to_post(self, points_xy: Points) -> Points:
        """Ground coordinates of things in the pre image → where the post image shows them; undoes `to_pre`."""
        ground = crs_change(self.pre_grid, self.post_grid)(np.asarray(points_xy, float))
        return apply_affine(~self._ground(self._affine), ground)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the tie points, ready for JSON."""
        return {
            "status": self.status,
            "reason": self.reason,
            "model": self.model,
            "unit": self.unit,
            "matrix": self.matrix.tolist(),
            "dx_m": self.dx_m,
            "dy_m": self.dy_m,
            "shift_m": self.shift_m,
            "residual_m": _plain(self.residual_m),
            "residual_px": _plain(self.residual_px),
            "inliers": self.inliers,
            "tie_points": len(self.ties["inlier"]),
            "improvement": _plain(self.improvement),
            "measured": {name: _plain(value) for name, value in self.measured.to_dict().items()},
        }

    @property
    def _affine(self) -> Affine:
        return Affine(*self.matrix.ravel())

    def _ground(self, pixels: Affine) -> Affine:
        """A map of post pixels as a map of post ground coordinates."""
        return self.post_grid.affine * pixels * ~self.post_grid.affine


def _plain(value: float) -> float | int | None:
    """A number that JSON knows; null for what could not be measured."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if np.isfinite(value) else None
