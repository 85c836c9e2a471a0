"""The gate says ok, degraded or failed, and names the number that decided."""

from dataclasses import replace

import pytest

from deepnets4eo.registration import RegistrationQuality
from deepnets4eo.registration.result import halves_agree, quality_status

GOOD = RegistrationQuality(
    gsd_m=0.5, tested=40, reliable=36, inliers=33, chance=0.05, residual_m=0.6, train_inliers=80, cells=16,
    shift_m=4.0, max_shift_m=30.0, scale_min=0.999, scale_max=1.001, rotation_deg=0.1, ncc_before=0.1, ncc_after=0.3,
    improved=0.9,
)  # fmt: skip


def test_good_numbers_pass():
    assert quality_status(GOOD) == ("ok", None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tested": 0, "reliable": 0, "inliers": 0}, "no window has data"),
        ({"inliers": 3, "reliable": 4}, "as expected by chance"),
        ({"train_inliers": 4}, "only 4 tie points"),
        ({"inliers": 10, "reliable": 41, "tested": 60}, "only 24% of the reliable"),
        ({"residual_m": 3.2}, "residual 3.20 m"),
        ({"scale_max": 1.2}, "scale 0.999–1.200"),
        ({"rotation_deg": -31.0}, "rotation -31.0°"),
        ({"shift_m": 31.0}, "shift 31.0 m"),
        ({"ncc_after": 0.05, "improved": 0.2}, "fell from 0.100 to 0.050"),
    ],
)
def test_each_hard_limit_fails_with_its_number(change, reason):
    status, said = quality_status(replace(GOOD, **change))
    assert status == "failed"
    assert said is not None
    assert reason in said.text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train_inliers": 20}, "20 tie points"),
        ({"cells": 4}, "4 of 16 cells"),
        ({"residual_m": 2.0}, "residual 2.00 m"),
        ({"ncc_after": 0.11}, "gained 0.010"),
        ({"improved": 0.5}, "50% of the windows"),
    ],
)
def test_each_soft_limit_degrades(change, reason):
    status, said = quality_status(replace(GOOD, **change))
    assert status == "degraded"
    assert said is not None
    assert reason in said.text()


def test_an_image_that_lies_right_already_needs_no_gain():
    assert quality_status(replace(GOOD, shift_m=0.2, ncc_after=0.1, improved=0.4))[0] == "ok"


def test_coarse_pixels_are_judged_in_pixels():
    assert quality_status(replace(GOOD, gsd_m=10.0, residual_m=8.0, max_shift_m=60.0))[0] == "ok"


def test_two_halves_must_find_one_shift_clearly():
    assert halves_agree(replace(GOOD, split_m=0.5, split_score=4.0))
    assert not halves_agree(replace(GOOD, split_m=0.5, split_score=1.5))
    assert not halves_agree(replace(GOOD, split_m=9.0, split_score=4.0))
    assert not halves_agree(GOOD)


@pytest.mark.parametrize(
    ("within", "beyond", "status"),
    [
        ({"train_inliers": 6}, {"train_inliers": 5}, "failed"),
        ({"inliers": 10, "reliable": 40, "tested": 60}, {"inliers": 9, "reliable": 40, "tested": 60}, "failed"),
        ({"residual_m": 3.0}, {"residual_m": 3.01}, "failed"),
        ({"residual_m": 6.0, "gsd_m": 2.0}, {"residual_m": 6.01, "gsd_m": 2.0}, "failed"),
        ({"scale_min": 0.9}, {"scale_min": 0.899}, "failed"),
        ({"scale_max": 1.1}, {"scale_max": 1.101}, "failed"),
        ({"rotation_deg": 30.0}, {"rotation_deg": 30.01}, "failed"),
        ({"rotation_deg": -30.0}, {"rotation_deg": -30.01}, "failed"),
        ({"shift_m": 30.0}, {"shift_m": 30.1}, "failed"),
        ({"ncc_after": 0.05, "improved": 0.4}, {"ncc_after": 0.05, "improved": 0.39}, "failed"),
        ({"ncc_after": 0.1, "improved": 0.3}, {"ncc_after": 0.0999, "improved": 0.3}, "failed"),
        (
            {"ncc_after": 0.05, "improved": 0.3, "shift_m": 0.5},
            {"ncc_after": 0.05, "improved": 0.3, "shift_m": 0.51},
            "failed",
        ),
        ({"train_inliers": 30}, {"train_inliers": 29}, "degraded"),
        ({"cells": 6}, {"cells": 5}, "degraded"),
        ({"residual_m": 1.5}, {"residual_m": 1.51}, "degraded"),
        ({"residual_m": 2.99, "gsd_m": 2.0}, {"residual_m": 3.01, "gsd_m": 2.0}, "degraded"),
        ({"ncc_after": 0.121}, {"ncc_after": 0.119}, "degraded"),
        ({"improved": 0.6}, {"improved": 0.59}, "degraded"),
        ({"improved": 0.5, "shift_m": 1.0}, {"improved": 0.5, "shift_m": 1.01}, "degraded"),
        ({"ncc_after": 0.1, "shift_m": 1.0}, {"ncc_after": 0.1, "shift_m": 1.01}, "degraded"),
    ],
)
def test_each_limit_lies_where_it_is_said(within, beyond, status):
    better = {"failed": ("ok", "degraded"), "degraded": ("ok",)}[status]
    assert quality_status(replace(GOOD, **within))[0] in better
    assert quality_status(replace(GOOD, **beyond))[0] == status


def test_chance_is_the_binomial_tail():
    few = replace(GOOD, tested=10, inliers=2, chance=0.1)
    expected = 1 - 0.9**10 - 10 * 0.1 * 0.9**9
    assert few.significance == pytest.approx(expected)
    assert replace(GOOD, inliers=0).significance == 1.0
    assert few.to_dict()["significance"] == few.significance
    assert few.to_dict()["tested"] == 10


def test_the_first_failure_counts_more_than_any_doubt():
    status, said = quality_status(replace(GOOD, cells=1, residual_m=9.0, shift_m=99.0))
    assert status == "failed"
    assert said is not None
    assert said.text() == "hold-out residual 9.00 m (at most 3.00 m)"


def test_halves_agree_within_the_limits_of_distance_shift_and_height():
    agreed = replace(GOOD, split_m=3.0, split_score=3.0, shift_m=30.0)
    assert halves_agree(agreed)
    assert halves_agree(replace(agreed, split_m=6.0, gsd_m=2.0))
    for change in ({"split_m": 3.01}, {"split_score": 2.99}, {"shift_m": 30.1}, {"split_m": float("nan")}):
        assert not halves_agree(replace(agreed, **change))
