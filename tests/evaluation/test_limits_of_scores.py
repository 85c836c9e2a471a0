"""Limits of scores and samples at which another number is stated, each from both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.label_reader import LabelReader
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.draw import draw_pixels, share_out
from deepnets4eo.evaluation.sampled.estimates import by_area
from deepnets4eo.evaluation.sampled.trusted import trusted_classes, trusted_zone
from deepnets4eo.evaluation.sampled.zones import Zones
from deepnets4eo.evaluation.withheld import SplitMap
from deepnets4eo.grid import Grid, Window
from deepnets4eo.metrics import ValueScores
from deepnets4eo.metrics.accuracy import area_adjusted, sample_size, wilson_interval
from deepnets4eo.metrics.calibration import calibration_error
from deepnets4eo.metrics.deviations import DeviationScores
from deepnets4eo.rasters import Layer


@pytest.mark.parametrize(("values", "is_map"), [(60, True), (61, False)])
def test_a_raster_of_up_to_sixty_values_is_a_map_of_classes(values: int, is_map: bool) -> None:
    layer = Layer.open(np.arange(64, dtype=np.int16).reshape(1, 8, 8) % values)
    if is_map:
        assert len(ClassMap.open(layer).names) == 60
    else:
        with pytest.raises(InputError, match="at most 60 whole numbers"):
            ClassMap.open(layer)


@pytest.mark.parametrize(("value", "is_class"), [(2**31 - 1, True), (2**31, False), (-(2**31), False)])
def test_values_of_31_bits_may_be_classes(value: int, is_class: bool) -> None:
    layer = Layer.open(np.array([[[0, value]]], np.int64))
    if is_class:
        assert ClassMap.open(layer).names == ("class 0", f"class {value}")
    else:
        with pytest.raises(InputError, match="values of 2,147,483,648 or more"):
            ClassMap.open(layer)


def test_half_of_the_looks_are_shared_alike() -> None:
    """Of 100 looks four classes have 12 each, and 62.4, 12.5, 12.5 and 12.5 with the other 52 by area."""
    assert share_out(np.array([9700, 100, 100, 100]), 100).tolist() == [62, 13, 13, 12]
    assert share_out(np.array([9800, 100, 0, 100]), 100).tolist() == [67, 17, 0, 16]


@pytest.mark.parametrize(("lat", "alike"), [(0.0, True), (60.0, False)])
def test_pixels_whose_areas_differ_by_more_than_a_thousandth_weigh_by_area(lat: float, alike: bool) -> None:
    """At 60° the area of pixels in degrees falls by 0.03 per degree, at the equator by the square of it."""
    grid = Grid((20, 20), Affine(0.01, 0, 10, 0, -0.01, lat + 0.1), "EPSG:4326")
    window = Window(0, 0, 20, 20)
    sample = draw_pixels(
        lambda place: np.zeros((place.height, place.width), np.uint8), grid, [window], 1, lambda _: np.array([40]), 0
    )
    assert (sample.areas is None) is alike


@pytest.mark.parametrize(
    ("right", "accuracy", "classes"), [(29, 0.9, ["a"]), (28, 0.9, []), (59, 0.95, ["a"]), (58, 0.95, [])]
)
def test_29_right_answers_show_an_accuracy_of_nine_tenths(right: int, accuracy: float, classes: list[str]) -> None:
    """0.9 ** 29 = 0.047 and 0.9 ** 28 = 0.052."""
    table = np.array([[right, 0], [0, 0]])
    given: dict[str, Any] = {} if accuracy == 0.9 else {"accuracy": accuracy}
    assert trusted_classes(table, np.array([1.0, 0.0]), ["a", "b"], **given)["classes"] == classes


@pytest.mark.parametrize(("surest", "share"), [(28, 1.0), (29, 0.0)])
def test_zones_of_fewer_than_29_answers_are_not_tested(surest: int, share: float) -> None:
    """The surest zone is wrong everywhere, and all together are right in 98 %."""
    tables = [np.array([[0.0, surest], [0, 0]]), np.array([[1500.0, surest], [0, 0]])]
    areas = [np.array([1.0, 0.0]), np.array([100.0, 0.0])]
    assert trusted_zone(tables, areas, [0.9, 0.1])["share"] == share


def test_the_surest_zones_are_tenths_of_the_map() -> None:
    classes = ClassMap.open(Layer.open(np.zeros((1, 20, 50), np.uint8)))
    confidence = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 20, 50)
    sample = draw_pixels(classes.read, classes.grid, classes.windows, 1, lambda _: np.array([30]), 0)
    zones: Any = Zones.measure(Layer.open(confidence), classes, sample)
    assert zones.limits == pytest.approx(np.r_[np.arange(0.9, 0.05, -0.1), 0], abs=1e-3)


def test_answers_of_few_pixels_weigh_as_two() -> None:
    """Of two pixels of 1 and 9 ha (1 + 9)² / (1² + 9²) = 1.22 answers would be as sure."""
    pairs, areas = np.array([[0, 0], [0, 1]]), np.array([1.0, 9.0])
    np.testing.assert_allclose(by_area(pairs, areas, 2), [[0.2, 1.8], [0, 0]])


def test_what_was_withheld_is_2_and_what_was_learnt_from_1() -> None:
    parts = np.array([[[255, 1, 2, 2]]], np.uint8)
    read = LabelReader(Layer.open(parts), SplitMap.legend).read(Window(0, 0, 1, 4))
    assert [SplitMap.legend.names[index] if index < 255 else "" for index in read[0]] == ["", "learnt", "withheld", "withheld"]  # fmt: skip
    assert (SplitMap.learnt, SplitMap.withheld) == tuple(SplitMap.legend.value(name) for name in ("learnt", "withheld"))


@pytest.mark.parametrize(("confidence", "fits"), [(1 + 0.9e-6, True), (1 + 1.1e-6, False), (-1e-9, False)])
def test_confidences_may_be_above_1_by_rounding(confidence: float, fits: bool) -> None:
    if fits:
        assert calibration_error(np.array([confidence]), np.array([True])) == pytest.approx(0, abs=1e-5)
    else:
        with pytest.raises(InputError, match="probabilities from 0 to 1"):
            calibration_error(np.array([confidence]), np.array([True]))


def test_ratios_of_depths_below_a_thousandth_count_as_that() -> None:
    scores = ValueScores().update(np.array([10.0, 10, 10]), np.array([0.02, 0.0, -5]))
    logs = np.log([0.002, 0.001, 0.001])
    assert scores.rms_log == pytest.approx(np.sqrt(np.mean(logs**2)))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_deviations_are_scaled_to_nine_tenths_within_one_percent(ratio: float) -> None:
    """Of errors that all are `ratio` deviations the factor is that over 1.645."""
    deviation = np.full(100, 2.0)
    scores = DeviationScores().update(np.zeros(100), ratio * deviation, deviation)
    assert scores.factor == pytest.approx(ratio / 1.644854, rel=0.006)
    exact = [
        float(DeviationScores().update(np.zeros(1), np.array([size]), np.ones(1)).factor) for size in (1.0, 1.0101)
    ]
    assert exact[1] / exact[0] == pytest.approx(1.01)


def test_intervals_at_the_ends_are_those_of_hand_computed_wilson_limits() -> None:
    z = 1.959963984540054
    found = wilson_interval(9, 10)
    middle, half = (0.9 + z**2 / 20) / (1 + z**2 / 10), z / (1 + z**2 / 10) * np.sqrt(0.09 / 10 + z**2 / 400)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))


def test_a_class_that_is_wholly_detected_has_the_sample_of_two_hundredths() -> None:
    """One more answer is spread over both classes: 0.5 of 501 are missed, with a variance of s (1 - s) / 499."""
    found = area_adjusted(np.array([[500.0, 0], [0, 500]]), np.array([1.0, 1.0]))
    missed = 0.5 / 501
    size = 0.98 * 0.02 / (missed * (1 - missed) / 499)
    low, high = found.producers_accuracy_interval[0]
    assert high == pytest.approx(1)
    assert 1 - low == pytest.approx(1.95996**2 / (size + 1.95996**2), rel=1e-4)


def test_a_half_width_that_needs_infinitely_many_samples_is_refused() -> None:
    assert sample_size([1.0], [0.5], np.inf) == 0
    for half_width in (1e-320, 0.0, -0.1):
        with pytest.raises(InputError, match="samples_per_unit"):
            sample_size([1.0], [0.5], half_width)


def test_a_class_of_two_answers_counts_with_its_doubt_and_one_of_a_single_answer_as_wrong() -> None:
    """Class b is 30 of 130 ha. As wrong it would leave 0.77 of the map; two right answers are as unsure as a limit of 0.65."""
    areas = [np.array([100.0, 30.0])]
    for answers, share in ((2, 0.0), (1, 1.0), (60, 1.0)):
        tables = [np.array([[1500.0, 0], [0, answers]])]
        assert trusted_zone(tables, areas, [0.5], accuracy=0.7)["share"] == share
