"""Sparsification and coverage against sorting all pixels."""

import numpy as np
import pytest
from scipy.stats import norm

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import DeviationScores


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    deviation = rng.uniform(0.2, 4, 20_000)
    reference = rng.uniform(0, 20, 20_000)
    return reference, reference + rng.normal(0, deviation), deviation


def sorted_curve(error: np.ndarray, key: np.ndarray) -> np.ndarray:
    kept = np.square(error)[np.argsort(key)]
    return np.array([np.sqrt(kept[: round(len(kept) * (1 - share))].mean()) for share in np.arange(100) / 100])


def test_curves_and_area_are_those_of_sorted_pixels(pixels):
    reference, estimate, deviation = pixels
    scores = DeviationScores().update(reference, estimate, deviation)
    error = np.abs(estimate - reference)
    by_deviation, by_error = sorted_curve(error, deviation), sorted_curve(error, error)
    np.testing.assert_allclose(scores.sparsification[:, 1], by_deviation, rtol=0.03)
    np.testing.assert_allclose(scores.sparsification[:90, 2], by_error[:90], rtol=0.03)
    assert scores.ause == pytest.approx((by_deviation - by_error).mean() / by_deviation[0], abs=0.005)
    assert scores.ause_of_random == pytest.approx(1 - by_error.mean() / by_error[0], abs=0.005)
    assert np.all(np.diff(scores.sparsification[:, 1]) < 0.02)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_deviations_are_scored_alike_in_any_unit(pixels, factor):
    whole, scaled = (DeviationScores().update(*(values * f for values in pixels)) for f in (1, factor))
    for name in ("ause", "ause_of_random", "factor"):
        assert getattr(scaled, name) == pytest.approx(getattr(whole, name), abs=0.005)
    assert scaled.coverage(90) == whole.coverage(90)


def test_intervals_hold_what_they_say_and_the_factor_mends_others(pixels):
    reference, estimate, deviation = pixels
    right = DeviationScores().update(reference, estimate, deviation)
    assert right.coverage(50) == pytest.approx(0.5, abs=0.01)
    assert right.coverage(90) == pytest.approx(0.9, abs=0.01)
    assert right.factor == pytest.approx(1, abs=0.02)
    bold = DeviationScores().update(reference, estimate, deviation / 3)
    assert bold.coverage(90) < 0.5
    mended = DeviationScores().update(reference, estimate, bold.factor * deviation / 3)
    assert mended.coverage(90) == pytest.approx(0.9, abs=0.01)


def test_parts_add_up_and_void_pixels_count_nowhere(pixels):
    whole = DeviationScores().update(*pixels)
    parts = DeviationScores().update(*(values[:700] for values in pixels))
    parts += DeviationScores().update(*(values[700:] for values in pixels))
    for void in range(3):
        parts.update(*(np.array([np.nan if place == void else 1.0]) for place in range(3)))
    np.testing.assert_allclose(parts.sparsification, whole.sparsification)
    assert parts.coverage(50) == whole.coverage(50)
    assert parts.pixels == 20_000
    assert all(np.isnan(value) for name, value in DeviationScores().to_dict().items() if name != "sparsification")
    with pytest.raises(InputError, match="expected one shape"):
        whole.update(np.zeros(2), np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("times", [1.0, 2.5, 0.4])
def test_the_factor_is_the_ratio_of_errors_and_deviations_at_nine_tenths_to_half_a_percent(times):
    """Errors of a normal distribution of this many deviations: intervals of 90 % need the deviations times as many."""
    error = norm.ppf((np.arange(20_000) + 0.5) / 20_000) * times
    scores = DeviationScores().update(np.zeros(20_000), error, np.ones(20_000))
    assert scores.factor == pytest.approx(times, rel=0.006)
