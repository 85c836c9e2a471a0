"""Values of a target at the limits: how many may be impossible or infinite, what zeros mean, in which unit they would be possible."""

from typing import Any

import numpy as np
import pytest

from deepnets4eo.cards import Quantity
from deepnets4eo.errors import InputError
from deepnets4eo.training.target import TargetSection, _check_zeros, check_values

DEPTH = Quantity("wait", "m", 0.0, 100.0)


def checked(values: Any, quantity: Quantity = DEPTH, *, infinite: int = 0, **target: Any) -> None:
    check_values(np.asarray(values, np.float32), TargetSection(**target), quantity, "a.tif", infinite=infinite)


@pytest.mark.parametrize(("infinite", "refused"), [(1, False), (2, True)])
def test_a_hundredth_of_the_values_may_be_infinite(infinite: int, refused: bool) -> None:
    values = np.linspace(1, 90, 99)
    if refused:
        with pytest.raises(InputError, match="2 values are infinite"):
            checked(values, infinite=infinite)
    else:
        checked(values, infinite=infinite)
    with pytest.raises(InputError, match="no pixel of the training part"):
        checked([])


@pytest.mark.parametrize(
    ("beyond", "advice"),
    [
        ([-9999.0] * 10, "If -9999 means no data: --set data.nodata="),
        ([-9999.0] * 8 + [-1.0] * 2, "Check unit and nodata"),
        ([101.0, 300.0] * 5, "possible in decimetres .--set target.factor=0.1. or centimetres|possible in millimetres"),
    ],
)
def test_advice_on_impossible_values_names_nodata_or_a_smaller_unit(beyond: list[float], advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        checked([*np.linspace(1, 90, 90), *beyond])
    with pytest.raises(InputError, match="10% of the values are not from 0 to 100 m"):
        checked([*np.linspace(1, 90, 90), *beyond])


def test_a_stated_factor_or_another_unit_gets_no_advice_on_units() -> None:
    values = [*np.linspace(1, 90, 90), *np.linspace(101, 300, 10)]
    with pytest.raises(InputError, match="Check unit and nodata"):
        checked(values, factor=0.5)
    with pytest.raises(InputError, match="Check unit and nodata"):
        checked(values, Quantity("age", "years", 0.0, 100.0))


def zeros_of(number: int, near: float | None = None) -> np.ndarray:
    values = np.full(1000, 50.0, np.float32)
    values[:number] = 0
    if near is not None:
        values[-1] = near
    return values


@pytest.mark.parametrize(
    ("number", "near", "refused"),
    [(10, None, False), (11, None, True), (11, 2.5, False), (11, 2.6, True), (1000, None, False)],
)
def test_zeros_are_asked_for_if_no_value_lies_between_them_and_a_twentieth_of_the_median(
    number: int, near: float | None, refused: bool
) -> None:
    if refused:
        with pytest.raises(InputError, match="are 0, and none lies between 0 and 2.5"):
            _check_zeros(zeros_of(number, near), TargetSection(), DEPTH, "a.tif")
    else:
        _check_zeros(zeros_of(number, near), TargetSection(), DEPTH, "a.tif")
    _check_zeros(zeros_of(number, near), TargetSection(zero="value"), DEPTH, "a.tif")
    _check_zeros(zeros_of(number, near), TargetSection(terrain="dtm"), DEPTH, "a.tif")


def test_void_zeros_are_asked_for_if_values_lie_just_above_and_all_zeros_are_refused() -> None:
    void = Quantity("depth", "m", 0.0, 100.0, zero="void")
    _check_zeros(zeros_of(11), TargetSection(), void, "a.tif")
    with pytest.raises(InputError, match="others just above"):
        _check_zeros(zeros_of(11, 2.5), TargetSection(), void, "a.tif")
    with pytest.raises(InputError, match="all values are 0, which is void"):
        _check_zeros(np.zeros(5, np.float32), TargetSection(), void, "a.tif")
