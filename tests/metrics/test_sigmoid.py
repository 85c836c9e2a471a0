"""The sigmoid of least log loss: no other line is better, whatever the unit and the tails of the scores."""

from collections.abc import Callable

import numpy as np
import pytest
from refusals import raises_naming
from scipy.special import expit, logit

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import calibration_error, fit_sigmoid, temperature


@pytest.mark.parametrize("seed", range(60))
def test_the_loss_is_flat_at_the_line_that_is_returned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(np.exp(rng.uniform(1, 8)))
    score = rng.standard_t(rng.choice([1.5, 3.0, 30.0]), count) * np.exp(rng.uniform(-6, 6)) + rng.uniform(-90, 90)
    unit = (score - score.mean()) / score.std()
    positive = rng.random(count) < expit(rng.uniform(-3, 8) * unit + rng.uniform(-4, 4))
    target, weight = np.where(positive, 0.98, 0.02), rng.choice([0.02, 1.0, 6.0], count)
    slope, intercept = fit_sigmoid(score, target, weight)
    residual = weight / weight.sum() * (expit(slope * score + intercept) - target)
    assert np.abs([residual @ unit, residual.sum()]).max() < 1e-6


def test_equal_scores_have_the_mean_of_the_targets() -> None:
    slope, intercept = fit_sigmoid(np.full(4, 3.0), np.array([0.1, 0.2, 0.3, 0.4]), np.ones(4))
    assert slope * 3.0 + intercept == pytest.approx(logit(0.25), abs=1e-6)


def test_weights_count_as_repeated_samples() -> None:
    score, target = np.array([0.0, 1.0, 2.0]), np.array([0.1, 0.4, 0.8])
    repeated = fit_sigmoid(np.repeat(score, [1, 2, 3]), np.repeat(target, [1, 2, 3]), np.ones(6))
    assert fit_sigmoid(score, target, np.array([1.0, 2.0, 3.0])) == pytest.approx(repeated, abs=1e-8)


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_temperature_takes_class_indices_only(label: int) -> None:
    logits, truth = np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, label])
    with raises_naming(InputError, label, "class indices 0 to 2"):
        temperature(logits, truth)


@pytest.mark.parametrize("confidence", [-0.1, 1.5, np.nan])
def test_a_calibration_error_takes_probabilities_only(confidence: float) -> None:
    with raises_naming(InputError, "probabilities from 0 to 1"):
        calibration_error(np.array([0.5, confidence]), np.array([True, False]))
    with raises_naming(InputError, "right (1) and wrong (0)"):
        calibration_error(np.array([0.5, 0.6]), np.array([1, -1]))


def test_a_sigmoid_takes_targets_from_0_to_1_only() -> None:
    with raises_naming(InputError, "targets from 0 to 1"):
        fit_sigmoid(np.arange(3.0), np.array([-1.0, 0, 1]), np.ones(3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calibration_error(np.ones(3), np.ones(3, bool), bins=0), "bins is 0"),
        (lambda: calibration_error(np.array([1.1, 0.5]), np.ones(2, bool)), "0 to 1|0–1|between"),
        (lambda: temperature(np.ones(3), np.zeros(3, int)), r"\(3,\)"),
        (lambda: temperature(np.array([[np.inf, 0.0]]), np.zeros(1, int)), "finite"),
        (lambda: temperature(np.zeros((2, 2)), np.array([0, 2])), "class indices 0 to 1"),
        (lambda: temperature(np.zeros((2, 2)), np.array([0, -1])), "class indices 0 to 1"),
        (lambda: temperature(np.zeros((2, 2)), np.array([0.0, 1.0])), "float64"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(call: Callable[[], float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
