"""Calibration against worked examples and scikit-learn."""

import numpy as np
import pytest
from refusals import raises_naming
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from deepnets4eo.damage.decision.reliability import BetaCalibration, fit_beta, platt
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import calibration_error, temperature


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


def test_platt_reaches_the_best_line_far_from_where_it_begins() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        score = rng.normal(0, 4, 1000) + rng.uniform(-3, 3)
        truth = rng.random(1000) < expit(0.9 * score - 2.0)
        weight = rng.choice([0.05, 6.0], 1000)
        slope, intercept = platt(score, truth, weight)
        counts = [float(weight[truth == kind].sum()) for kind in (True, False)]
        target = np.where(truth, (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2))
        residual = weight * (expit(slope * score + intercept) - target)
        assert np.abs([residual @ score, residual.sum()]).max() < 0.05  # the gradient


def test_platt_stays_finite_where_classes_are_separable() -> None:
    score = np.concatenate([np.full(20, -1.0), np.full(20, 1.0)])
    slope, _ = platt(score, score > 0)
    assert 1 < slope < 10


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with raises_naming(InputError, "3 scores", "2 truths"):
        calibration_error(np.ones(3), np.ones(2, bool))


def test_beta_calibration_agrees_with_a_regression_on_the_logarithms() -> None:
    rng = np.random.default_rng(4)
    score = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < expit(np.where(score > 0, 2.0, 0.5) * score + 0.4)
    fitted = fit_beta(score, truth)
    terms = np.stack([np.log(expit(score)), -np.log(1 - expit(score))], axis=1)
    model = LogisticRegression(C=1e9, max_iter=1000).fit(terms, truth)
    assert [fitted.a, fitted.b] == pytest.approx(model.coef_[0], abs=0.02)
    assert fitted(score) == pytest.approx(model.decision_function(terms), abs=0.05)
    assert (np.diff(fitted(np.sort(score))) >= 0).all()


def test_beta_calibration_of_separable_data_stays_finite_and_keeps_the_order() -> None:
    score = np.linspace(-3, 3, 50)
    fitted = fit_beta(score, score > 0, np.full(50, 7.0))
    assert np.isfinite(fitted(score)).all()
    upside_down = fit_beta(score, score < 0)
    assert upside_down.a == upside_down.b == 0
    assert BetaCalibration()(score) == pytest.approx(score)
    assert BetaCalibration.from_dict(fitted.to_dict()).b == pytest.approx(fitted.b, abs=1e-4)
