"""Registration of a later date to the first, measured on everything visible at both dates: ground, roofs and standing walls.

Point-to-plane ICP (Chen and Medioni 1992) at three scales. Tukey's weights exclude what fell, grew or was built.
Three checks show how far the motion can be trusted:

tiles : every fifth tile of points is excluded from the fit, and measures how well the fit holds
walls : objects that stand at both dates show whether a fit of only the ground is due to chance, as flat ground fits anywhere
parts : fits that leave out one part of the area at a time show how certain the motion is
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.spatial import cKDTree

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.outputs import Phrase
from deepnets4eo.points.local_planes import surface_attributes
from deepnets4eo.points.rubble.motion import RigidMotion

# Heights of neighbours in the plane differ by this much if a wall stands between them.
WALL_JUMP_M = 2.0
NEIGHBOURS, MAX_NEIGHBOUR_SPACINGS = 9, 3.0
MAX_WALL_LEVELS = 12


@dataclass(frozen=True)
class EpochRules:
    """Rules for when a later date fits the first: scans of different towns must not."""

    max_shift_m: float = 30.0
    max_rotation_deg: float = 5.0
    min_points: int = 200  # on either date; with fewer, only the heights are compared
    min_fitting_share: float = 0.25  # of the held-out points
    good_residual_m: float = 0.5
    max_residual_m: float = 1.0
    good_sigma_m: float = 0.25
    max_sigma_m: float = 1.0
    square_m: float = 25.0  # side of the squares in which walls are counted
    min_wall_points: int = 5  # in a square with walls
    min_squares: int = 6  # with walls at either date: a single building may have lost a side
    failed_score: float = 4.0  # spreads above agreement by chance
    good_score: float = 8.0
    min_gain: float = 0.25  # share of what stands that must agree beyond chance; other towns gain at most 0.18


RULES = EpochRules()
# Whether a reason applies, its phrase, and what was measured with its limit.
Reasons: TypeAlias = tuple[tuple[bool, str, tuple[float, float]], ...]


class Scale(NamedTuple):
    """Scale of the fit: search radius for counterparts, distance limit of points that count, and number of points used."""

    reach_m: float
    tukey_m: float
    points: int


SCALES = (Scale(6.0, 2.0, 15_000), Scale(3.0, 1.0, 30_000), Scale(1.5, 0.4, 200_000))
MAX_STEPS, STILL_M = 60, 1e-3
# A rotation counts as the shift at the end of an arm of this length.
ARM_M = 100.0

# The place of a point between two heights is known to about half the spacing of the points.
WALL_WEIGHT = 0.1
# One of so many tiles of this side is held out.
TILE_M, HOLD_OUT = 5.0, 5
MAX_STANDING_POINTS, MAX_SEARCHED_POINTS = 3000, 1000
# Agreement by chance is measured with one date moved this far away.
CHANCE_SHIFTS_M = (9.0, 14.0)
# Smallest spread of the shares that agree by chance.
MIN_SPREAD = 0.01
SEARCH_STEP_M = 4.0


class SurfacePoints(NamedTuple):
    """Points (N, 3) of a surface, which of them are on walls (N,), and their spacing."""

    xyz: Floats
    wall: Mask
    spacing_m: float


def with_walls(tops: Floats) -> SurfacePoints:
    """Return points (N, 3) of tops and, between neighbours in the plane of different height, points of a wall, which
    scans from the air and surface models do not hold."""
    if len(tops) <= NEIGHBOURS:
        return SurfacePoints(tops, np.zeros(len(tops), bool), 0.0)
    distance, around = cKDTree(tops[:, :2]).query(tops[:, :2], NEIGHBOURS)
    spacing_m = float(np.median(distance[:, NEIGHBOURS // 2]))
    heights = np.where(distance <= MAX_NEIGHBOUR_SPACINGS * spacing_m, tops[around, 2], np.inf)
    lowest = heights.argmin(axis=1)
    jump = tops[:, 2] - heights[np.arange(len(tops)), lowest]
    high = np.flatnonzero(jump > WALL_JUMP_M)
    low = around[high, lowest[high]]
    levels = np.clip(np.ceil(jump[high] / max(spacing_m, 0.1)).astype(np.int64), 2, MAX_WALL_LEVELS)
    column = np.repeat(np.arange(len(high)), levels)
    share = (np.arange(len(column)) - np.repeat(np.cumsum(levels) - levels, levels) + 0.5) / levels[column]
    positions = (tops[high, :2] + tops[low, :2])[column] / 2
    wall = np.column_stack([positions, tops[low[column], 2] + share * jump[high[column]]])
    if len(wall) > len(tops):
        wall = wall[np.random.default_rng(0).choice(len(wall), len(tops), replace=False)]
    return SurfacePoints(np.concatenate([tops, wall]), np.arange(len(tops) + len(wall)) >= len(tops), spacing_m)


@dataclass(frozen=True)
class EpochQuality:
    """Measures of how well two dates fit.

    tested, share : held-out points compared, and the share that fits
    residual_before_m, residual_m : root mean square of their distances before and after the motion
    standing, standing_share : squares of 25 m where something stands at both dates, and the share of these points that agrees
    chance_share, score : the share that agrees by chance, and how many spreads `standing_share` is above it
    sigma_m, sigma_up_m : standard error of the position
    """

    tested: int = 0
    share: float = float("nan")
    residual_before_m: float = float("nan")
    residual_m: float = float("nan")
    standing: int = 0
    standing_share: float = float("nan")
    chance_share: float = float("nan")
    score: float = float("nan")
    sigma_m: float = float("nan")
    sigma_up_m: float = float("nan")


@dataclass(frozen=True)
class EpochFit:
    """Position of a later date against the first.

    status, reason : the status, and why it is not "ok", None if it is
    motion : moves coordinates of the later date to the first date
    quality : the measures
    corners : (K, 3) corners of the area
    """

    status: Literal["ok", "degraded", "failed"]
    reason: Phrase | None
    motion: RigidMotion
    quality: EpochQuality
    corners: Floats
    in_plane: bool = True  # whether the position in the plane was measured, not only the height
    applied: RigidMotion | None = None  # what the later date was moved by before it was compared
    sources: tuple[str, str] = ("", "")  # of the later and the first date

    @property
    def shift_m(self) -> Floats:
        """Return the offset (3,) of the date in the middle of the corners, metres east, north and up."""
        middle = self.corners.mean(axis=0, keepdims=True)
        return np.asarray((middle - self.motion.apply(middle))[0])

    @property
    def off_m(self) -> tuple[float, float, float]:
        """Return the largest offset of the date at the corners, metres: in the plane, by tilt, and in height."""
        by = self.motion.apply(self.corners) - self.corners
        tilt = by[:, 2] - by[:, 2].mean()
        return float(np.hypot(by[:, 0], by[:, 1]).max()), float(np.abs(tilt).max()), float(abs(by[:, 2].mean()))

    @property
    def reason_text(self) -> str:
        """The reason in English, or nothing."""
        return "" if self.reason is None else self.reason.text()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest; null for what could not be measured."""
        numbers = {
            "shift_east_m": self.shift_m[0], "shift_north_m": self.shift_m[1], "shift_up_m": self.shift_m[2],
            "rotation_deg": -self.motion.turn_deg, "tilt_deg": self.motion.tilt_deg, **asdict(self.quality),
        }  # fmt: skip
        plain = {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}
        about = {"source": self.sources[0], "onto": self.sources[1], "status": self.status, "reason": self.reason_text}
        return {**about, "moved": self.applied is not None, **plain}


class Surface(NamedTuple):
    """Points (M, 3) of the first date, which are walls, their normals, and the tree that finds the nearest."""

    points: Floats
    wall: Mask
    normals: Floats
    tree: Any

    @classmethod
    def from_points(cls, fixed: SurfacePoints) -> Surface:
        """Estimate the normals."""
        local = fixed.xyz - fixed.xyz.mean(axis=0)
        return cls(fixed.xyz, fixed.wall, surface_attributes(local).normal.astype(np.float64), cKDTree(fixed.xyz))

    def match(self, moved: Floats, reach_m: float) -> Match:
        """Find the nearest points of the surface within reach, and the distances from their planes."""
        _, index = self.tree.query(moved, distance_upper_bound=reach_m)
        matched = index < len(self.points)
        index, near = index[matched], moved[matched]
        normals = self.normals[index]
        distance = ((near - self.points[index]) * normals).sum(axis=1)
        return Match(matched, near, normals, distance, np.where(self.wall[index], WALL_WEIGHT, 1.0))


class Match(NamedTuple):
    """Matched points: mask (N,) of points with a counterpart; their positions (n, 3), normals (n, 3), distances (n,) and weights (n,)."""

    matched: Mask
    points: Floats
    normals: Floats
    distance: Floats
    weight: Floats


def register_points(moving: SurfacePoints, fixed: SurfacePoints, corners: Floats) -> EpochFit:
    """Measure the offset of the points of a later date from the points of the first.

    Parameters
    ----------
    moving, fixed : surfaces of the later and the first date
    corners : (K, 3) corners of the area, at which the motion counts

    Returns
    -------
    The fit. It is "failed" if the objects standing at both dates do not lie on each other anywhere. It is "degraded", without a motion
    in the plane, if too few objects stand to decide.
    """
    centre = corners.mean(axis=0)
    if (number := min(len(moving.xyz), len(fixed.xyz))) < RULES.min_points:
        reason = Phrase("epoch_few_points", {"number": number, "limit": RULES.min_points})
        return EpochFit("degraded", reason, RigidMotion.upwards(0.0, centre), EpochQuality(), corners, in_plane=False)
    surface = Surface.from_points(fixed)
    raised = RigidMotion.upwards(_height_difference(moving.xyz, fixed.xyz), centre)
    fit = _fit_from(raised, moving, surface, corners)
    if fit.status == "failed":
        other = _fit_from(_search(raised, moving, surface), moving, surface, corners)
        return fit if other.status == "failed" else other
    return fit


def _height_difference(moving: Floats, fixed: Floats) -> float:
    """By how much the first date is higher: the median over corners of the later one."""
    some = moving[:: max(len(moving) // 20_000, 1)]
    _, index = cKDTree(fixed[:, :2]).query(some[:, :2])
    return float(np.median(fixed[index, 2] - some[:, 2]))


def _fit_from(start: RigidMotion, later: SurfacePoints, surface: Surface, corners: Floats) -> EpochFit:
    """Compute the fit that the iterations reach from a starting motion."""
    moving = later.xyz
    tile = np.floor(moving[:, :2] / TILE_M).astype(np.int64)
    held = (tile[:, 0] + 2 * tile[:, 1]) % HOLD_OUT == 0
    motion, tukey_m = _iterate(start, moving[~held], surface)
    before, after = (surface.match(pose.apply(moving[held]), SCALES[0].reach_m) for pose in (start, motion))
    fits = np.abs(after.distance) < tukey_m
    sigma_m, sigma_up_m = _standard_error(motion, moving[~held], surface, tukey_m, corners)
    standing = _standing_agreement(motion, later, surface, tukey_m)
    quality = EpochQuality(
        tested=len(after.distance),
        share=float(fits.mean()) if len(fits) else 0.0,
        residual_before_m=_rms(before.distance[np.abs(before.distance) < SCALES[0].tukey_m]),
        residual_m=_rms(after.distance[fits]),
        sigma_m=sigma_m,
        sigma_up_m=sigma_up_m,
        **standing,
    )
    return _graded(motion, quality, corners, start)


def _iterate(motion: RigidMotion, moving: Floats, surface: Surface) -> tuple[RigidMotion, float]:
    """Find the motion with the smallest weighted distances, scale by scale; return it and the last scale's distance limit for points."""
    tukey_m = SCALES[-1].tukey_m
    for scale in SCALES:
        some = moving[_some(np.arange(len(moving)), scale.points)]
        tukey_m = scale.tukey_m
        if scale is SCALES[-1]:  # heights of satellite stereo are noisier than those of a laser
            distance = np.abs(surface.match(motion.apply(some), scale.reach_m).distance)
            spread = 3 * 1.4826 * float(np.median(distance)) if len(distance) else 0.0
            tukey_m = float(np.clip(spread, tukey_m, SCALES[1].tukey_m))
        for _ in range(MAX_STEPS):
            normal, gradient = _equations(surface.match(motion.apply(some), scale.reach_m), motion, tukey_m)
            step = np.asarray(np.linalg.lstsq(normal, gradient, rcond=1e-9)[0], np.float64)
            motion = motion.followed_by(step[:3], step[3:])
            if ARM_M * np.linalg.norm(step[:3]) + np.linalg.norm(step[3:]) < STILL_M:
                break
    return motion, tukey_m


def _equations(match: Match, motion: RigidMotion, tukey_m: float) -> tuple[Floats, Floats]:
    """Return the normal matrix (6, 6) and right-hand side (6,) of a small rotation about the centre and a shift."""
    weight = match.weight * np.maximum(1 - (match.distance / tukey_m) ** 2, 0) ** 2
    lever = np.cross(match.points - motion.centre, match.normals)
    design = np.concatenate([lever, match.normals], axis=1)
    weighted = (design * weight[:, None]).T
    return weighted @ design, -weighted @ match.distance


def _standard_error(
    motion: RigidMotion, moving: Floats, surface: Surface, tukey_m: float, corners: Floats
) -> tuple[float, float]:
    """Compute the standard errors of the position in the plane and in height, metres, the largest at the corners.

    Uses the jackknife: each of 4 × 4 parts is left out in turn."""
    low, size = moving[:, :2].min(axis=0), np.maximum(np.ptp(moving[:, :2], axis=0), 1e-9)
    cell = np.minimum((4 * (moving[:, :2] - low) / size).astype(np.int64), 3) @ [4, 1]
    sums = []
    for part in np.unique(cell):
        match = surface.match(motion.apply(moving[cell == part]), SCALES[-1].reach_m)
        if len(match.distance):
            sums.append(_equations(match, motion, tukey_m))
    if len(sums) < 2:
        return float("nan"), float("nan")
    normal, gradient = (np.sum([equations[which] for equations in sums], axis=0) for which in (0, 1))
    without = np.array([np.linalg.lstsq(normal - a, gradient - b, rcond=1e-9)[0] for a, b in sums])
    spread = (without - without.mean(axis=0)) * np.sqrt((len(sums) - 1) / len(sums))
    by = np.cross(spread[:, None, :3], (corners - motion.centre)[None]) + spread[:, None, 3:]  # (B, K, 3)
    variance = (by**2).sum(axis=0)
    return float(np.sqrt(variance[:, :2].sum(axis=1).max())), float(np.sqrt(variance[:, 2].max()))


def _standing_agreement(motion: RigidMotion, moving: SurfacePoints, surface: Surface, tukey_m: float) -> dict[str, Any]:
    """Measure whether walls of one date are found at the other date more often than after a shift by some metres."""
    moved = motion.apply(moving.xyz)
    tree, reach_m = cKDTree(moved), max(1.0, moving.spacing_m)
    later, first = (_some(np.flatnonzero(wall), MAX_STANDING_POINTS) for wall in (moving.wall, surface.wall))
    number = min(_squares_with_walls(moved[later]), _squares_with_walls(surface.points[first]))
    if number < RULES.min_squares:
        return {"standing": number}
    angles = np.arange(8) * np.pi / 4
    away = [np.zeros(3), *(r * np.array([np.cos(a), np.sin(a), 0]) for r in CHANCE_SHIFTS_M for a in angles)]
    best: dict[str, Any] = {"standing": number, "score": -np.inf}
    for shares in (
        [_share_on(surface.match(moved[later] + by, reach_m), tukey_m) for by in away],
        [_share_under(tree, moved, surface, first, by, reach_m, tukey_m) for by in away],
    ):
        chance = float(np.mean(shares[1:]))
        score = (shares[0] - chance) / max(float(np.std(shares[1:])), MIN_SPREAD)
        if score > best["score"]:
            best |= {"standing_share": shares[0], "chance_share": chance, "score": score}
    return best


def _squares_with_walls(walls: Floats) -> int:
    """Count the squares of 25 m that contain standing walls."""
    _, counts = np.unique(np.floor(walls[:, :2] / RULES.square_m), axis=0, return_counts=True)
    return int((counts >= RULES.min_wall_points).sum())


def _some(index: Indices, number: int) -> Indices:
    """Draw at most `number` points of an index."""
    return index if len(index) <= number else np.random.default_rng(0).choice(index, number, replace=False)


def _share_on(match: Match, tukey_m: float) -> float:
    """Return the share of points that lie on planes of the surface."""
    return float((np.abs(match.distance) < tukey_m).sum() / len(match.matched))


def _share_under(
    tree: Any, moved: Floats, surface: Surface, first: Indices, by: Floats, reach_m: float, tukey_m: float
) -> float:
    """Return the share of surface points whose planes contain a moved point."""
    positions = surface.points[first] + by
    _, index = tree.query(positions, distance_upper_bound=reach_m)
    matched = index < len(moved)
    distance = ((moved[index[matched]] - positions[matched]) * surface.normals[first[matched]]).sum(axis=1)
    return float((np.abs(distance) < tukey_m).sum() / len(first))


def _search(start: RigidMotion, moving: SurfacePoints, surface: Surface) -> RigidMotion:
    """Search the shifts in the plane of up to 30 m for the shift that matches the largest number of walls."""
    some = start.apply(moving.xyz[_some(np.flatnonzero(moving.wall), MAX_SEARCHED_POINTS)])
    steps = np.arange(-RULES.max_shift_m, RULES.max_shift_m + 1, SEARCH_STEP_M)
    shifts = np.array([(east, north, 0.0) for east in steps for north in steps])
    matched = [
        (np.abs(surface.match(some + by, SCALES[1].reach_m).distance) < SCALES[1].tukey_m).sum() for by in shifts
    ]
    return start.followed_by(np.zeros(3), shifts[int(np.argmax(matched))])


def _graded(motion: RigidMotion, quality: EpochQuality, corners: Floats, start: RigidMotion) -> EpochFit:
    """Return the fit with its status, and the first reason against it."""
    fit = EpochFit("ok", None, motion, quality, corners)
    off_m, _, _ = fit.off_m
    unknown = quality.standing < RULES.min_squares
    agrees = quality.score >= RULES.failed_score and quality.standing_share - quality.chance_share >= RULES.min_gain
    residual_m, sigma_m, shares = quality.residual_m, quality.sigma_m, (quality.standing_share, quality.chance_share)
    against: Reasons = (
        (quality.share < RULES.min_fitting_share, "epoch_few_points_fit", (quality.share, RULES.min_fitting_share)),
        (not residual_m <= RULES.max_residual_m, "epoch_residual_too_large", (residual_m, RULES.max_residual_m)),
        (not unknown and not agrees, "epoch_walls_disagree", shares),
        (not unknown and sigma_m > RULES.max_sigma_m, "epoch_position_unsure", (sigma_m, RULES.max_sigma_m)),
        (
            not unknown and float(np.hypot(*fit.shift_m[:2])) > RULES.max_shift_m,
            "epoch_shift_too_large",
            (off_m, RULES.max_shift_m),
        ),
        (
            abs(motion.turn_deg) > RULES.max_rotation_deg,
            "epoch_rotation_too_large",
            (motion.turn_deg, RULES.max_rotation_deg),
        ),
    )
    if (reason := _first_reason(against)) is not None:
        return EpochFit("failed", reason, start, quality, corners)
    if unknown:
        values = {"squares": quality.standing, "side_m": RULES.square_m, "limit": RULES.min_squares}
        return EpochFit("degraded", Phrase("epoch_few_walls", values), start, quality, corners, in_plane=False)
    doubts: Reasons = (
        (residual_m > RULES.good_residual_m, "epoch_residual_not_good", (residual_m, RULES.good_residual_m)),
        (sigma_m > RULES.good_sigma_m, "epoch_position_not_good", (sigma_m, RULES.good_sigma_m)),
        (quality.score < RULES.good_score, "epoch_walls_agree_weakly", (quality.score, RULES.good_score)),
    )
    reason = _first_reason(doubts)
    return EpochFit("ok" if reason is None else "degraded", reason, motion, quality, corners)


def _first_reason(reasons: Reasons) -> Phrase | None:
    """Return the first reason that applies; None if no reason applies."""
    return next(
        (Phrase(code, {"value": value, "limit": limit}) for wrong, code, (value, limit) in reasons if wrong), None
    )


def _rms(values: Floats) -> float:
    """Root mean square, NaN without any."""
    return float(np.sqrt((values**2).mean())) if len(values) else float("nan")
