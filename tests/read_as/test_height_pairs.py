"""Surface models of two dates: two, and in one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import Door, check_two_surface_models
from deepnets4eo.read_as.kinds import HEIGHTS

NAMES = ("--dsm-pre", "--dsm-post")
BEFORE = np.linspace(90, 110, 4096, dtype=np.float32).reshape(1, 64, 64)
AFTER = BEFORE - np.float32(0.1)


def _check(before: Any, after: Any) -> None:
    check_two_surface_models(Layer.open(before), Layer.open(after), NAMES)


def test_one_surface_model_for_both_dates_is_refused() -> None:
    _check(BEFORE, AFTER)
    with raises_naming(InputError, "--dsm-pre", "--dsm-post", "one surface model"):
        _check(BEFORE, BEFORE.copy())


UNITS = {"feet": 0.3048, "centimetres": 0.01, "millimetres": 0.001}
CITY = np.where(np.indices((64, 64)).sum(axis=0) % 16 < 8, 3.0, 12.0)[None].astype(np.float32)  # near the sea
FALLEN = np.where(np.arange(64) < 40, CITY, np.float32(3.5))  # all roofs of three eighths


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("before", "after"), [(BEFORE, AFTER), (CITY, FALLEN)], ids=["on a hill", "at the sea"])
def test_a_model_in_another_unit_than_the_other_is_refused_wherever_it_is(unit: str, before: Any, after: Any) -> None:
    other = (after / UNITS[unit]).astype(np.float32)
    for pair in ((before, other), (other, before)):
        with raises_naming(InputError, NAMES[pair[0] is before], f"seems to be in {unit}", "gdal_edit.py -units"):
            _check(*pair)
    _check(before, after)


@pytest.mark.parametrize(("share", "refused"), [(1.029, True), (1.031, False), (0.971, True), (0.969, False)])
def test_heights_within_three_hundredths_of_the_feet_of_the_other_are_refused(share: float, refused: bool) -> None:
    feet = (CITY / 0.3048 * share).astype(np.float32)
    if refused:
        with raises_naming(InputError, NAMES[1], "seems to be in feet"):
            _check(CITY, feet)
    else:
        _check(CITY, feet)


def test_what_was_built_is_no_other_unit(tmp_path: Any) -> None:
    built = np.where(np.arange(64) < 12, CITY * np.float32(3.28), CITY)  # a fifth of the place, three times as high
    _check(CITY, built)
    _check(CITY * np.float32(0.3), CITY.clip(0.2, 0.9))  # nothing above a metre in one of both


def test_heights_with_units_are_not_suspected() -> None:
    metres, feet = (Layer.open(values).with_factor(1.0, "m", 1) for values in (BEFORE, BEFORE / np.float32(0.3048)))
    check_two_surface_models(metres, feet, NAMES)


@pytest.mark.parametrize(("unit", "refused"), [(1.0, False), (0.3048, False), (0.01, True), (0.001, True)])
def test_a_model_whose_ground_is_steeper_than_any_is_refused(unit: float, refused: bool, tmp_path: Any) -> None:
    """Houses of 9 m in rows; bare ground of 1 in 100 and a place without a CRS are not told."""
    rows = np.kron(CITY, np.ones((1, 2, 2), np.float32))
    path = write_geotiff(tmp_path / "d.tif", (rows / unit).astype(np.float32), gsd=1.0)
    if refused:
        with raises_naming(InputError, "d.tif", "no city and no mountain", "gdal_edit.py -units cm"):
            HEIGHTS.open(str(path), Door("--dsm-pre"))
    else:
        HEIGHTS.open(str(path), Door("--dsm-pre"))
    HEIGHTS.open(str(path), Door.of_layer("dsm"))  # a run compares it with its training
    HEIGHTS.open(rows / unit, Door("--dsm-pre"))
    slope = np.broadcast_to(np.arange(128, dtype=np.float32) / 100 / unit, (1, 128, 128))
    if unit >= 0.01:
        HEIGHTS.open(str(write_geotiff(tmp_path / "s.tif", slope.astype(np.float32), gsd=1.0)), Door("--dsm-pre"))
