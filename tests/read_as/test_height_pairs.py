"""Surface models of two dates: two, and in one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import check_two_surface_models

NAMES = ("--dsm-pre", "--dsm-post")
BEFORE = np.linspace(90, 110, 4096, dtype=np.float32).reshape(1, 64, 64)
AFTER = BEFORE - np.float32(0.1)


def _check(before: Any, after: Any) -> None:
    check_two_surface_models(Layer.open(before), Layer.open(after), NAMES)


def test_one_surface_model_for_both_dates_is_refused() -> None:
    _check(BEFORE, AFTER)
    with raises_naming(InputError, "--dsm-pre", "--dsm-post", "one surface model"):
        _check(BEFORE, BEFORE.copy())


@pytest.mark.parametrize(("share", "refused"), [(1.009, True), (1.011, False), (0.991, True), (0.989, False)])
def test_a_middle_height_within_a_hundredth_of_the_feet_of_the_other_is_refused(share: float, refused: bool) -> None:
    feet = (BEFORE / 0.3048 * share).astype(np.float32)
    for pair in ((BEFORE, feet), (feet, BEFORE)):
        if refused:
            with raises_naming(InputError, NAMES[pair[0] is BEFORE], "seems to be in feet", "gdal_edit.py -units ft"):
                _check(*pair)
        else:
            _check(*pair)


def test_heights_near_the_sea_and_with_units_are_not_suspected() -> None:
    low = BEFORE - np.float32(80.1)  # 19.9 m in the middle
    _check(low, low / np.float32(0.3048))
    metres, feet = (Layer.open(values).with_factor(1.0, "m", 1) for values in (BEFORE, BEFORE / np.float32(0.3048)))
    check_two_surface_models(metres, feet, NAMES)
