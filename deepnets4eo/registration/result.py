"""The result of a registration: the model, its quality and what that means, and the tie points behind it.

Moves coordinates between the images, never pixels. A failed registration keeps the metadata geometry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Points
from deepnets4eo.display import Summary, WithSummary, grid_facts
from deepnets4eo.grid import Grid, apply_affine
from deepnets4eo.outputs import Phrase
from deepnets4eo.rasters import length_unit
from deepnets4eo.registration.ground import crs_change
from deepnets4eo.registration.options import SearchLimits

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

Status: TypeAlias = Literal["ok", "degraded", "failed"]
NEAREST = 8  # tie points that say how far the pre image lies off in a place


@dataclass(frozen=True)
class RegistrationQuality:
    """Measures of the hold-out tie points and of the fitted model."""

    gsd_m: float  # ground size of a working pixel
    tested: int  # hold-out windows compared
    reliable: int  # of these, matches better than chance matches of the same images
    inliers: int  # of these, within the tolerance of the model
    chance: float  # share of windows that would fall within the tolerance if matches were random
    residual_m: float  # root mean square of the inliers' residuals
    train_inliers: int  # tie points behind the fit
    cells: int  # of 4 × 4 cells of the overlap, those that hold an inlier
    shift_m: float
    max_shift_m: float
    scale_min: float
    scale_max: float
    rotation_deg: float
    ncc_before: float  # median gradient correlation over the hold-out windows, as georeferenced
    ncc_after: float  # the same after the model
    improved: float  # share of hold-out windows whose gradient correlation rose
    split_m: float = float("nan")  # distance between the shifts that the two halves of the overlap agree on
    split_score: float = float("nan")  # height of each half's surface at the other's shift, in spreads of that surface

    @property
    def significance(self) -> float:
        """Return the probability of this number of inliers among the tested windows by chance."""
        if not self.inliers:
            return 1.0
        return float(
            scipy.special.betainc(self.inliers, max(self.tested, 1) - self.inliers + 1, self.chance)
        )  # of the binomial law

    def to_dict(self) -> dict[str, float]:
        """Plain numbers by name."""
        return asdict(self) | {"significance": self.significance}


@dataclass(frozen=True)
class QualityThresholds:
    """Limits; beyond `failed` ones the metadata geometry is kept, beyond the others the result is degraded."""

    significance: float = 1e-3
    min_inliers: int = 6
    good_inliers: int = 30
    min_share: float = 0.25  # inliers among the reliable hold-out matches
    good_share: float = 0.0  # of the same; above 0 only where many models were searched
    good_cells: int = 6  # of 16
    good_residual_m: float = 1.5
    good_residual_px: float = 1.5  # whichever of the two is larger counts
    max_residual_px: float = 3.0
    max_residual_m: float = 3.0
    scale: tuple[float, float] = (0.9, 1.1)
    max_rotation_deg: float = SearchLimits.rotation_deg
    min_gain: float = 0.02  # of gradient correlation, where the shift is larger than a pixel
    good_improved: float = 0.6
    min_improved: float = 0.4
    split_score: float = 3.0  # 44 unrelated pairs stayed below 2.5


def quality_status(
    measured: RegistrationQuality, limits: QualityThresholds | None = None
) -> tuple[Status, Phrase | None]:
    """Status and, unless ok, the reason with the number that decided it."""
    limits = limits or QualityThresholds()
    failures = _failures(measured, limits)
    if failures:
        return "failed", failures[0]
    degradations = _degradations(measured, limits)
    return ("degraded", degradations[0]) if degradations else ("ok", None)


def halves_agree(measured: RegistrationQuality) -> bool:
    """Return whether two halves of the overlap agree on one shift, and more single windows agree than by chance."""
    limits = QualityThresholds()
    limit = max(limits.max_residual_m, limits.max_residual_px * measured.gsd_m)
    near = measured.split_m <= limit and measured.shift_m <= measured.max_shift_m
    return near and measured.significance <= limits.significance and measured.split_score >= limits.split_score


def _failures(m: RegistrationQuality, limits: QualityThresholds) -> list[Phrase]:
    share = m.inliers / m.reliable if m.reliable else 0.0
    limit = max(limits.max_residual_m, limits.max_residual_px * m.gsd_m)
    moved = m.shift_m > m.gsd_m
    scale = {"low": m.scale_min, "high": m.scale_max, "least": limits.scale[0], "most": limits.scale[1]}
    checks: list[tuple[bool, str, dict[str, float]]] = [
        (m.tested == 0, "no_window", {"tested": m.tested}),
        (m.significance > limits.significance, "by_chance", {"inliers": m.inliers, "tested": m.tested}),
        (m.train_inliers < limits.min_inliers, "few_ties", {"number": m.train_inliers, "least": limits.min_inliers}),
        (share < limits.min_share, "few_agree", {"share": share, "least": limits.min_share}),
        (m.residual_m > limit, "residual_too_large", {"residual_m": m.residual_m, "limit": limit}),
        (m.scale_min < limits.scale[0] or m.scale_max > limits.scale[1], "scale", scale),
        (
            abs(m.rotation_deg) > limits.max_rotation_deg,
            "rotation", {"turn_deg": m.rotation_deg, "most_deg": limits.max_rotation_deg},
        ),
        (m.shift_m > m.max_shift_m, "shift", {"shift_m": m.shift_m, "most_m": m.max_shift_m}),
        (
            moved and m.ncc_after < m.ncc_before and m.improved < limits.min_improved,
            "correlation_fell", {"before": m.ncc_before, "after": m.ncc_after},
        ),
    ]  # fmt: skip
    return _phrases(checks)


def _degradations(m: RegistrationQuality, limits: QualityThresholds) -> list[Phrase]:
    share = m.inliers / m.reliable if m.reliable else 0.0
    limit = max(limits.good_residual_m, limits.good_residual_px * m.gsd_m)
    moved = m.shift_m > 2 * m.gsd_m
    gain = m.ncc_after - m.ncc_before
    return _phrases(
        [
            (share < limits.good_share, "share_not_good", {"share": share, "good": limits.good_share}),
            (
                m.train_inliers < limits.good_inliers,
                "ties_not_good", {"number": m.train_inliers, "good": limits.good_inliers},
            ),
            (m.cells < limits.good_cells, "cells_not_good", {"cells": m.cells, "good": limits.good_cells}),
            (m.residual_m > limit, "residual_not_good", {"residual_m": m.residual_m, "limit": limit}),
            (moved and gain < limits.min_gain, "gain_not_good", {"gain": gain, "good": limits.min_gain}),
            (
                moved and m.improved < limits.good_improved,
                "improved_not_good", {"improved": m.improved, "good": limits.good_improved},
            ),
        ]
    )  # fmt: skip


def _phrases(checks: Sequence[tuple[bool, str, Mapping[str, float]]]) -> list[Phrase]:
    """Return the phrases of the checks that apply."""
    return [Phrase(f"match_{key}", values) for applies, key, values in checks if applies]


TIE_COLUMNS = ("dx_m", "dy_m", "residual_m", "quality", "ratio", "reliable", "inlier", "holdout")


@dataclass(frozen=True, repr=False)
class Registration(WithSummary):
    """Registration of the pre image to the post image.

    Parameters
    ----------
    status, why : "ok", "degraded" or "failed", and the reason if it is not "ok", else None
    model : "translation", "similarity" or "affine".
    matrix
        (2, 3) float64; maps (col, row) of a thing in the post grid to the displaced (col, row), still in the post
        grid, whose ground coordinates show the same thing in the pre image. Identity when the status is "failed".
    dx_m, dy_m : That displacement at the middle of the overlap, metres along the post grid's columns (right) and rows (down).
    measured : The numbers that determine the status.
    post_grid, pre_grid : The grids of the post image and of the pre image.
    ties : Columns of the tie points; `tie_points` has them as a table.
    """

    status: Status
    why: Phrase | None
    model: str
    matrix: Floats
    dx_m: float
    dy_m: float
    measured: RegistrationQuality
    post_grid: Grid
    pre_grid: Grid
    ties: dict[str, NDArray[Any]]

    @property
    def reason(self) -> str:
        """The reason in English; empty without one."""
        return "" if self.why is None else self.why.text()

    @property
    def usable(self) -> bool:
        """Return whether the pre image can be used: the registration did not fail."""
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
    def ground_agreement(self) -> float:
        """Median gradient correlation of the registered images over the hold-out windows, −1 to 1; NaN if it was not measured."""
        return self.measured.ncc_after

    @property
    def unit(self) -> str:
        """Unit of all lengths: "m", or "px" where the post image has no CRS."""
        return length_unit(self.post_grid)

    def headline(self) -> str:
        """Return the status and the shift in one line."""
        if not self.usable:
            return f"registration {self.status}"
        return f"registration {self.status}: {self.dx_m:+.2f} {self.unit} right, {self.dy_m:+.2f} {self.unit} down"

    def _summary(self) -> Summary:
        """Status and shift, then what they rest on."""
        facts = {"why": self.reason} if self.reason else {}
        if self.usable:
            facts["model"] = f"{self.model}, {self.inliers} of {len(self.ties['inlier'])} tie points agree"
            facts["residual"] = f"{self.residual_m:.2f} {self.unit} over points held out"
        facts["post image"] = ", ".join(grid_facts(self.post_grid).values())
        facts["pre image"] = ", ".join(grid_facts(self.pre_grid).values())
        return Summary(type(self).__name__, {"result": self.headline().removeprefix("registration ")}, facts)

    @property
    def tie_points(self) -> GeoDataFrame:
        """Return one row per window: its position in the post image (its CRS), displacement, quality, inlier, holdout."""
        import geopandas

        ground = apply_affine(self.post_grid.affine, self.ties["pixel"])
        crs = None if self.post_grid.crs is None else self.post_grid.crs.to_wkt()
        points = geopandas.points_from_xy(ground[:, 0], ground[:, 1], crs=crs)
        return geopandas.GeoDataFrame({name: self.ties[name] for name in TIE_COLUMNS}, geometry=points)

    def error_m(self, pixels: Points) -> Floats:
        """Estimate the offset of the pre image at positions of the post image: half of the nearest tie points exceed it.

        pixels : (N, 2) float64, (col, row) of the post image.
        returns : (N,) float64, median distance of the nearest 8 reliable tie points from the model, metres; NaN if there are fewer,
        or if `pixels` are not finite.
        """
        off_m = np.full(len(pixels), np.nan)
        reliable, known = self.ties["reliable"], np.isfinite(pixels).all(axis=1)
        if reliable.sum() >= NEAREST and known.any():
            _, nearest = scipy.spatial.cKDTree(self.ties["pixel"][reliable]).query(pixels[known], NEAREST)
            off_m[known] = np.median(self.ties["residual_m"][reliable][nearest], axis=1)
        return off_m

    def to_pre(self, points_xy: Points) -> Points:
        """Map ground coordinates of things in the post image to their ground coordinates in the pre image.

        points_xy : (N, 2) float64, x and y in the post image's CRS (pixels without a CRS).
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
        """Convert a map of post pixels to a map of post ground coordinates."""
        return self.post_grid.affine * pixels * ~self.post_grid.affine


def _plain(value: float) -> float | int | None:
    """Convert a number to a type that JSON supports; null for a number that could not be measured."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if np.isfinite(value) else None
