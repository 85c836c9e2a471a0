"""Values far from all others: where the line is drawn, and what a deviation loses by them."""

import numpy as np
import pytest

from deepnets4eo.rasters import Outliers, find_outliers
from deepnets4eo.rasters.values import FAR, GAP, RUINED, percentile_of_ranked

HEIGHTS = np.linspace(0.0, 100.0, 1001)  # from the 1st to the 99th percentile: a span of 98


def with_value(value: float, times: int = 1) -> np.ndarray:
    return np.append(HEIGHTS, [value] * times)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_value_is_far_beyond_a_gap_of_ten_spans(side):
    edge = 100.0 if side > 0 else 0.0
    near = edge + side * 0.95 * GAP * 98
    beyond = edge + side * 1.05 * GAP * 98
    assert find_outliers(with_value(near)) is None
    found = find_outliers(with_value(beyond, 5))
    assert (found.lowest, found.highest, found.low, found.high) == (beyond, beyond, 0.0, 100.0)
    assert found.nodata is None


def test_a_usual_nodata_value_needs_one_span_only():
    values = np.linspace(-9990.0, -9890.0, 1001)
    assert find_outliers(np.append(values, -9999.0)) is None
    far = find_outliers(np.append(values + 200, -9999.0))
    assert far.nodata == -9999.0
    assert str(far) == "-9999, far from all others (-9790 to -9690)"


def test_scattered_spikes_are_far_beyond_twenty_spans_of_the_percentiles():
    spikes = 99.0 + 98 * FAR * np.array([0.99, 1.02, 1.9, 2.4])
    found = find_outliers(np.append(HEIGHTS, spikes))
    assert found.lowest == pytest.approx(spikes[1])
    assert found.highest == pytest.approx(spikes[3])
    assert found.high == pytest.approx(spikes[0])
    assert found.nodata is None
    assert str(found).startswith(f"values from {spikes[1]:g} to {spikes[3]:g}, far from all others (0 to ")


def test_both_ends_may_be_far():
    found = find_outliers(np.append(HEIGHTS, [-32768.0, 5e6]))
    assert (found.lowest, found.highest) == (-32768.0, 5e6)
    assert (found.low, found.high) == (0.0, 100.0)
    assert found.nodata is None


def test_bytes_nothing_and_one_single_value_are_never_far():
    assert find_outliers(np.array([0, 0, 0, 255], np.uint8)) is None
    assert find_outliers(np.zeros(0, np.float32)) is None
    assert find_outliers(np.full(50, 3.0)) is None
    assert find_outliers(np.append(np.full(50, 3.0), -9999.0)) is None  # others without any spread: no measure of far


def test_a_deviation_is_ruined_beyond_twice_that_of_the_others():
    far = Outliers(-9999.0, -9999.0, 0.0, 100.0)
    values = with_value(-9999.0)
    plain = float(HEIGHTS.std())
    assert np.array_equal(far.usual_values(values), HEIGHTS)
    assert far.dominates_std(1.01 * RUINED * plain, values)
    assert not far.dominates_std(0.99 * RUINED * plain, values)


@pytest.mark.parametrize("percent", [0, 1, 33.3, 50, 99, 100])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_percentiles_of_ranked_values_are_those_of_numpy_bit_for_bit(count, percent):
    values = np.random.default_rng(count).normal(30, 1e4, count)
    assert percentile_of_ranked(np.sort(values), percent) == np.percentile(values, percent)


def test_values_that_are_unknown_make_none_far():
    assert find_outliers(np.append(with_value(1e9), np.nan)) is None
