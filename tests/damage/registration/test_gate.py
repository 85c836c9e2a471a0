"""The gate says ok, degraded or failed, and names the number that decided."""

from dataclasses import replace

import pytest

from deepnets4eo.damage.registration.gate import Measured, halves_agree, judge

GOOD = Measured(
    gsd_m=0.5, tested=40, reliable=36, inliers=33, chance=0.05, residual_m=0.6, train_inliers=80, cells=16,
    shift_m=4.0, max_shift_m=30.0, scale_min=0.999, scale_max=1.001, rotation_deg=0.1, ncc_before=0.1, ncc_after=0.3,
    improved=0.9,
)  # fmt: skip


def test_good_numbers_pass():
    assert judge(GOOD) == ("ok", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tested": 0, "reliable": 0, "inliers": 0}, "no window holds data"),
        ({"inliers": 3, "reliable": 4}, "as chance would have it"),
        ({"train_inliers": 4}, "only 4 tie points"),
        ({"inliers": 10, "reliable": 41, "tested": 60}, "only 24% of the reliable"),
        ({"residual_m": 3.2}, "residual 3.20 m"),
        ({"scale_max": 1.2}, "scale 0.999–1.200"),
        ({"rotation_deg": -4.0}, "rotation -4.0°"),
        ({"shift_m": 31.0}, "shift 31.0 m"),
        ({"ncc_after": 0.05, "improved": 0.2}, "fell from 0.100 to 0.050"),
    ],
)
def test_each_hard_limit_fails_with_its_number(change, reason):
    status, said = judge(replace(GOOD, **change))
    assert status == "failed"
    assert reason in said


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
    status, said = judge(replace(GOOD, **change))
    assert status == "degraded"
    assert reason in said


def test_an_image_that_lies_right_already_needs_no_gain():
    assert judge(replace(GOOD, shift_m=0.2, ncc_after=0.1, improved=0.4))[0] == "ok"


def test_coarse_pixels_are_judged_in_pixels():
    assert judge(replace(GOOD, gsd_m=10.0, residual_m=8.0, max_shift_m=60.0))[0] == "ok"


def test_two_halves_must_find_one_shift_clearly():
    assert halves_agree(replace(GOOD, split_m=0.5, split_score=4.0))
    assert not halves_agree(replace(GOOD, split_m=0.5, split_score=1.5))
    assert not halves_agree(replace(GOOD, split_m=9.0, split_score=4.0))
    assert not halves_agree(GOOD)
