"""The status of a later date against the first, on both sides of each limit that its quality has to meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.points.rubble.dates import motion_that_counts
from deepnets4eo.points.rubble.epochs import (
    RULES,
    WALL_JUMP_M,
    EpochFit,
    EpochQuality,
    _graded,
    _squares_with_walls,
    with_walls,
)
from deepnets4eo.points.rubble.motion import RigidMotion, rotation_of

CORNERS = np.array([[0.0, 0, 0], [40, 0, 0], [0, 40, 0], [40, 40, 0]])
STILL = RigidMotion.upwards(0.0, CORNERS.mean(axis=0))
START = RigidMotion.upwards(1.0, CORNERS.mean(axis=0))
GOOD = EpochQuality(
    tested=900, share=0.9, residual_before_m=1.0, residual_m=0.2, standing=20, standing_share=0.8, chance_share=0.2, score=20.0,
    sigma_m=0.1, sigma_up_m=0.05,
)  # fmt: skip


@pytest.mark.parametrize(
    ("within", "beyond", "code", "status"),
    [
        ({"share": 0.25}, {"share": 0.249}, "epoch_few_points_fit", "failed"),
        ({"residual_m": 0.5}, {"residual_m": 1.01}, "epoch_residual_too_large", "failed"),
        ({"residual_m": 0.5}, {"residual_m": float("nan")}, "epoch_residual_too_large", "failed"),
        ({"score": 8.0}, {"score": 3.99}, "epoch_walls_disagree", "failed"),
        ({"standing_share": 0.45}, {"standing_share": 0.449}, "epoch_walls_disagree", "failed"),
        ({"sigma_m": 0.25}, {"sigma_m": 1.01}, "epoch_position_unsure", "failed"),
        ({"residual_m": 0.5}, {"residual_m": 0.51}, "epoch_residual_not_good", "degraded"),
        ({"residual_m": 0.5}, {"residual_m": 1.0}, "epoch_residual_not_good", "degraded"),
        ({"sigma_m": 0.25}, {"sigma_m": 0.26}, "epoch_position_not_good", "degraded"),
        ({"sigma_m": 0.25}, {"sigma_m": 1.0}, "epoch_position_not_good", "degraded"),
        ({"score": 8.0}, {"score": 7.9}, "epoch_walls_agree_weakly", "degraded"),
        ({"score": 8.0}, {"score": 4.0}, "epoch_walls_agree_weakly", "degraded"),
        ({"standing": 6}, {"standing": 5}, "epoch_few_walls", "degraded"),
        ({"standing": 6}, {"standing": 5, "score": 0.0, "sigma_m": 9.0}, "epoch_few_walls", "degraded"),
    ],
)
def test_each_measure_has_its_limit(within: dict[str, Any], beyond: dict[str, Any], code: str, status: str) -> None:
    good = _graded(STILL, replace(GOOD, **within), CORNERS, START)
    assert (good.status, good.reason) == ("ok", None)
    doubted = _graded(STILL, replace(GOOD, **beyond), CORNERS, START)
    assert doubted.status == status
    assert doubted.reason is not None
    assert doubted.reason.key == code
    assert doubted.motion is (START if status == "failed" or code == "epoch_few_walls" else STILL)
    assert doubted.in_plane is (code != "epoch_few_walls")


@pytest.mark.parametrize(
    ("shift_m", "turn_deg", "code"),
    [(29.9, 0, None), (30.1, 0, "epoch_shift_too_large"), (0, 4.9, None), (0, -4.9, None), (0, 5.1, "epoch_rotation_too_large"), (0, -5.1, "epoch_rotation_too_large")],
)  # fmt: skip
def test_a_date_is_not_moved_by_more_than_30_m_and_5_degrees(shift_m: float, turn_deg: float, code: str | None) -> None:
    turn = rotation_of(np.array([0.0, 0.0, np.radians(turn_deg)]))
    motion = RigidMotion(turn, np.array([0.6 * shift_m, -0.8 * shift_m, 0.0]), CORNERS.mean(axis=0))
    fit = _graded(motion, GOOD, CORNERS, START)
    assert (fit.reason.key if fit.reason else None) == code
    assert fit.status == ("ok" if code is None else "failed")


@pytest.mark.parametrize(
    ("plane_m", "up_m", "moved"),
    [
        (0.5, 0.0, None),
        (0.51, 0.0, "whole"),
        (0.0, 2.0, None),
        (0.0, 2.1, "up"),
        (0.5, -2.1, "up"),
        (0.51, 2.1, "whole"),
    ],
)
def test_a_motion_counts_beyond_its_limit_in_the_plane_or_in_height(
    plane_m: float, up_m: float, moved: str | None
) -> None:
    """In the plane from 0.5 m, in height alone from 2 m, as smaller differences are measured in each block on the ground."""
    motion = RigidMotion(np.eye(3), np.array([plane_m, 0.0, up_m]), CORNERS.mean(axis=0))
    fit = EpochFit("ok", None, motion, replace(GOOD, sigma_m=0.01, sigma_up_m=0.01), CORNERS)
    found = motion_that_counts(fit, 0.5)
    expected = {None: None, "whole": (plane_m, 0.0, up_m), "up": (0.0, 0.0, up_m)}[moved]
    assert (None if found is None else tuple(found.shift.round(9).tolist())) == expected
    assert motion_that_counts(replace(fit, status="failed"), 0.0) is None


@pytest.mark.parametrize(("tilt_m", "counts"), [(0.149, False), (0.151, True)])
def test_a_tilt_counts_from_15_cm_at_the_corners(tilt_m: float, counts: bool) -> None:
    turn = rotation_of(np.array([0.0, -tilt_m / 20.0, 0.0]))  # the corners are 20 m from the middle
    motion = RigidMotion(turn, np.zeros(3), CORNERS.mean(axis=0))
    fit = EpochFit("ok", None, motion, replace(GOOD, sigma_m=0.01, sigma_up_m=0.01), CORNERS)
    assert (motion_that_counts(fit, 0.5) is not None) is counts


@pytest.mark.parametrize(("sigma_m", "counts"), [(0.33, True), (0.34, False)])
def test_a_shift_counts_from_three_times_its_standard_error(sigma_m: float, counts: bool) -> None:
    motion = RigidMotion(np.eye(3), np.array([1.0, 0.0, 0.0]), CORNERS.mean(axis=0))
    fit = EpochFit("ok", None, motion, replace(GOOD, sigma_m=sigma_m), CORNERS)
    assert (motion_that_counts(fit, 0.5) is not None) is counts


def terrace(height: float, steps: int = 12) -> np.ndarray:
    """Tops every metre: ground at 0, and from the middle on a roof of some height."""
    x, y = np.meshgrid(np.arange(steps, dtype=float), np.arange(steps, dtype=float))
    return np.column_stack([x.ravel(), y.ravel(), np.where(x.ravel() >= steps / 2, height, 0.0)])


def test_walls_stand_half_way_between_tops_of_different_height_at_even_levels() -> None:
    tops = terrace(6.0)
    found = with_walls(tops)
    assert found.spacing_m == pytest.approx(1.0)
    np.testing.assert_array_equal(found.xyz[: len(tops)], tops)
    assert found.wall.tolist() == [False] * len(tops) + [True] * (len(found.xyz) - len(tops))
    wall = found.xyz[len(tops) :]
    wall = wall[(wall[:, 1] > 0) & (wall[:, 1] < 11)]  # at the ends, the nine nearest tops reach two metres far
    assert len(wall) == 10 * 6  # each of ten roof edges, six metres by spacings of one
    assert set(wall[:, 0]) == {5.5}
    column = np.sort(wall[np.isclose(wall[:, 1], 4.0), 2])
    np.testing.assert_allclose(column, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5])


@pytest.mark.parametrize(("jump", "stands"), [(WALL_JUMP_M - 0.01, False), (WALL_JUMP_M + 0.01, True)])
def test_only_jumps_of_a_storey_are_walls(jump: float, stands: bool) -> None:
    assert WALL_JUMP_M == 2.0
    assert with_walls(terrace(jump)).wall.any() == stands


def test_walls_are_no_more_points_than_tops_and_few_tops_have_none() -> None:
    high = with_walls(terrace(200.0))
    assert high.wall.sum() == (~high.wall).sum() == 144
    few = with_walls(terrace(6.0)[:5])
    assert (few.wall.any(), few.spacing_m, len(few.xyz)) == (False, 0.0, 5)


@pytest.mark.parametrize("extra", [0, -1])
def test_a_square_of_25_metres_has_walls_from_a_number_of_points_on(extra: int) -> None:
    number = RULES.min_wall_points + extra
    inside = np.random.default_rng(0).uniform(0, 24.9, (number, 3))
    beyond = inside + np.array([25.0, 0.0, 0.0])
    assert _squares_with_walls(np.concatenate([inside, beyond, inside[:3] + [0, 50, 0]])) == (2 if extra == 0 else 0)
    assert RULES.square_m == 25.0
