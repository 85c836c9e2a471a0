"""Whether an input is the one of before; curves of thresholds; grades of houses in water: at their limits."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.change.classical.detector import STEEPNESS, _transition
from deepnets4eo.damage.decision.estimates import IN_WATER_MEAN, InundatedBuildings
from deepnets4eo.damage.decision.inundation import _graded_by_water
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.jobs.records import UNKNOWN, InputState

A = InputState("a.tif", "1", "hash")


@pytest.mark.parametrize(
    ("now", "before", "same"),
    [
        (InputState("a.tif", UNKNOWN), A, None),
        (A, InputState("a.tif", UNKNOWN), None),
        (InputState("b.tif", "1"), A, True),  # moved, and unchanged
        (InputState("a.tif", "2", "hash"), A, True),  # touched
        (InputState("a.tif", "2", "other"), A, False),
        (InputState("a.tif", "2"), A, False),
        (InputState("a.tif", "", ""), A, False),
        (InputState("a.tif", "2"), InputState("a.tif", "", ""), False),
        (InputState("seed", "", ""), InputState("seed", "", ""), True),
        (InputState("seed", "", ""), InputState("run", "", ""), False),
    ],
)
def test_an_input_is_the_same_by_state_or_content_or_name(
    now: InputState, before: InputState, same: bool | None
) -> None:
    assert now.is_same(before) is same


def test_a_difference_names_the_file_that_changed_or_both() -> None:
    assert A.difference(A) == ""
    assert dataclasses.replace(A, state="2", content="x").difference(A) == "a.tif has changed"
    assert InputState("/there/a.tif", "2", "x").difference(A) == "/there/a.tif has changed"
    assert InputState("b.tif", "2", "x").difference(A) == "a.tif then, b.tif now"
    assert "cannot be known" in InputState("a.tif", UNKNOWN).difference(A)


def test_the_curve_of_a_threshold_is_as_wide_as_the_means_on_both_sides_are_apart() -> None:
    histogram: Any = SimpleNamespace(
        centres=np.array([0.0, 1, 2, 3, 4]), counts=np.array([6, 2, 0, 1, 3]), bin_width=1.0
    )
    below, above = (0 * 6 + 1 * 2) / 8, (3 * 1 + 4 * 3) / 4
    assert _transition(histogram, 2.5) == pytest.approx((above - below) / STEEPNESS)
    assert _transition(histogram, 3.0) == pytest.approx((above - below) / STEEPNESS), "a bin at the cut is above it"
    assert _transition(histogram, 9.0) == pytest.approx(9 / STEEPNESS), "nothing is above"
    assert _transition(histogram, -0.5) == pytest.approx(1 / STEEPNESS), "nothing is below"
    narrow: Any = SimpleNamespace(centres=np.array([0.0, 0.5]), counts=np.array([3, 3]), bin_width=1.0)
    assert _transition(narrow, 0.2) == pytest.approx(1 / STEEPNESS), "a bin at least"


def test_water_that_counts_as_no_damage_makes_intact_houses_possibly_damaged() -> None:
    p = np.array([[0.8, 0.1, 0.06, 0.04], [0.8, 0.1, 0.06, 0.04]])
    grades = Grades.of_sides(p)
    rows = np.array([True, False])
    water = InundatedBuildings(rows, np.zeros(2, bool), np.array([0.5, 0.0]), damaged=False)
    moved = _graded_by_water(grades, water, 0.3).probabilities
    assert moved[0] == pytest.approx([0.8 * (1 - IN_WATER_MEAN / 2), 0.1 + 0.8 * IN_WATER_MEAN / 2, 0.06, 0.04])
    assert moved[1] == pytest.approx(p[1])
