"""Errors of values counted in pieces are those of NumPy over all pixels at once."""

import numpy as np
import pytest

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ValueScores

RNG = np.random.default_rng(3)
TRUTH = RNG.gamma(2.0, 4.0, 5000)
GUESS = TRUTH * np.exp(RNG.normal(0.05, 0.2, 5000)) + 0.3


def test_scores_in_pieces_are_those_of_numpy() -> None:
    scores = ValueScores().update(TRUTH[:2000], GUESS[:2000])
    scores += ValueScores().update(TRUTH[2000:], GUESS[2000:])
    error, ratio = GUESS - TRUTH, np.maximum(GUESS / TRUTH, TRUTH / GUESS)
    expected = {
        "rmse": np.sqrt((error**2).mean()), "mae": np.abs(error).mean(), "bias": error.mean(),
        "r2": 1 - (error**2).sum() / ((TRUTH - TRUTH.mean()) ** 2).sum(), "rel": (np.abs(error) / TRUTH).mean(),
        "rms_log": np.sqrt(((np.log(GUESS) - np.log(TRUTH)) ** 2).mean()), "log10": np.abs(np.log10(GUESS / TRUTH)).mean(),
        "delta1": (ratio < 1.25).mean(), "delta2": (ratio < 1.25**2).mean(), "delta3": (ratio < 1.25**3).mean(),
    }  # fmt: skip
    assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected)
    assert scores.nmad == pytest.approx(1.4826 * np.median(np.abs(error - np.median(error))), rel=0.01)
    assert scores.le90 == pytest.approx(np.quantile(np.abs(error), 0.9), rel=0.005)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("bias", [0.0, 40.0])
def test_scores_follow_the_unit(factor: float, bias: float) -> None:
    guess = TRUTH + RNG.normal(bias, 2.0, len(TRUTH))
    error = guess - TRUTH
    scores = ValueScores().update(TRUTH * factor, guess * factor)
    right = 1.4826 * np.median(np.abs(error - np.median(error))), np.quantile(np.abs(error), 0.9)
    assert (scores.nmad / factor, scores.le90 / factor) == pytest.approx(right, rel=0.01)
    plain = ValueScores().update(TRUTH, guess)
    for name in ("r2", "rel", "rms_log", "log10", "delta1", "delta2"):
        assert getattr(scores, name) == pytest.approx(getattr(plain, name), rel=1e-9)


def test_equal_maps_have_no_spread_and_one_error_is_its_own() -> None:
    exact = ValueScores().update(TRUTH, TRUTH)
    assert (exact.nmad, exact.le90) == (0.0, 0.0)
    shifted = ValueScores().update(np.zeros(9), np.full(9, -0.004))
    assert shifted.le90 == pytest.approx(0.004, rel=1e-3)
    assert shifted.nmad < 1e-5


def test_zero_and_void_enter_only_the_scores_that_they_have() -> None:
    scores = ValueScores().update(np.array([0.0, 2.0, 4.0, np.nan]), np.array([1.0, 2.0, np.nan, 5.0]))
    assert scores.to_dict() | {"pixels": 2, "positive": 1, "unpredicted": 1} == scores.to_dict()
    assert (scores.mae, scores.rel, scores.delta1) == (0.5, 0.0, 1.0)
    assert np.isnan(ValueScores().rmse)
    assert np.isnan(ValueScores().nmad)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="expected one shape"):
        ValueScores().update(np.zeros(3), np.zeros(4))
