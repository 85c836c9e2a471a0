"""Calibration against worked examples and scikit-learn."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from deepnets4eo.damage.calibration import calibration_error, platt, temperature
from deepnets4eo.errors import InputError


def test_calibration_error_of_the_worked_example() -> None:
    confidence, correct = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.55]), np.array([1, 1, 0, 1, 0, 1], bool)
    assert calibration_error(confidence, correct, bins=5) == pytest.approx(0.13333, abs=1e-5)


def test_temperature_recovers_what_the_logits_were_multiplied_by() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    truth = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    assert temperature(2.5 * logits, truth) == pytest.approx(2.5, rel=0.05)


def test_platt_agrees_with_an_unpenalised_regression() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=5000)
    truth = rng.random(5000) < expit(1.7 * score - 0.6)
    slope, intercept = platt(score, truth)
    reference = LogisticRegression(C=1e9).fit(score[:, None], truth)
    assert slope == pytest.approx(reference.coef_[0, 0], abs=0.01)
    assert intercept == pytest.approx(reference.intercept_[0], abs=0.01)


def test_platt_stays_finite_where_classes_are_separable() -> None:
    score = np.concatenate([np.full(20, -1.0), np.full(20, 1.0)])
    slope, _ = platt(score, score > 0)
    assert 1 < slope < 10


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="3 scores and 2 truths"):
        calibration_error(np.ones(3), np.ones(2, bool))
