"""Curves from scores to probabilities against scikit-learn's, and where there is too little to learn one from."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import _sigmoid_calibration

from deepnets4eo.baselines.tuned_classifier import Calibrators, keep_labels, platt


def scored(count=3000, classes=3, seed=0):
    """Scores that rise for the true class, and the classes."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, classes, count)
    return rng.normal(size=(count, classes)) * 2 + 3 * (index[:, None] == np.arange(classes)) - 1, index


def test_platts_curve_equals_scikit_learns():
    scores, index = scored()
    for unit in (1.0, 1000.0):
        slope, intercept = platt(scores[:, 0] * unit, index == 0, np.ones(len(index)))
        expected = _sigmoid_calibration(scores[:, 0] * unit, index == 0)
        np.testing.assert_allclose([slope, intercept], [-expected[0], -expected[1]], rtol=1e-3)


@pytest.mark.parametrize("gap", [0.1, 100.0])
def test_separable_scores_give_a_finite_curve(gap):
    scores = np.r_[np.zeros(20), np.full(20, gap)]
    slope, intercept = platt(scores, scores > 0, np.ones(40))
    assert np.isfinite([slope, intercept]).all()
    assert 1 / (1 + np.exp(-(slope * gap + intercept))) == pytest.approx(21 / 22, abs=1e-3)  # Platt's target


def test_equal_scores_give_the_share_of_positives():
    slope, intercept = platt(np.zeros(100), np.arange(100) < 25, np.ones(100))
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx((25 * 26 / 27 + 75 / 77) / 100, abs=1e-3)
    assert np.isfinite(slope)


def test_scores_that_are_twice_too_sure_are_brought_back_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.dirichlet([0.5, 0.5, 0.5], 20_000).clip(1e-4, 1 - 1e-4)
    index = (truth.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(0, 2)
    scores = 2 * np.log(truth / (1 - truth)) + [1, -1, 3]
    proba = Calibrators("sigmoid").fit(scores[:10_000], index[:10_000], balanced=False)(scores[10_000:])
    assert np.abs(proba - truth[10_000:]).mean() < 0.03


def test_classes_without_samples_take_the_curve_of_all():
    scores, index = scored(classes=4)
    scores[index == 3, 3] = np.nan
    made = Calibrators("sigmoid").fit(scores, index, balanced=True)
    own = Calibrators("sigmoid").fit(np.nan_to_num(scores), index, balanced=True)
    assert not np.array_equal(made.curves[3], own.curves[3])
    assert made.curves[3] is not made.curves[2]
    proba = made(np.nan_to_num(scores))
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_curves_that_fall_are_not_believed():
    scores, index = scored(classes=3)
    scores[:, 1] *= -1  # in the folds this class's machine pointed the wrong way
    made = Calibrators("sigmoid").fit(scores, index, balanced=False)
    assert all(curve[0] > 0 for curve in made.curves)


def test_nothing_known_gives_the_plain_sigmoid():
    made = Calibrators("sigmoid").fit(np.full((10, 2), np.nan), np.arange(10) % 2, balanced=True)
    scores = np.array([[2.0, -2.0], [0.0, 0.0]])
    np.testing.assert_allclose(made(scores), [[1 / (1 + np.exp(-2)), 1 - 1 / (1 + np.exp(-2))], [0.5, 0.5]], rtol=1e-5)


def test_what_no_class_wants_goes_by_its_scores():
    scores, index = scored()
    made = Calibrators("sigmoid").fit(scores, index, balanced=False)
    low = np.array([[-500.0, -499.0, -600.0]])
    np.testing.assert_allclose(made(low), softmax(low).astype(np.float32))


def test_without_a_curve_the_order_is_that_of_the_scores():
    scores, index = scored()
    proba = Calibrators("none").fit(scores, index, balanced=False)(scores)
    np.testing.assert_array_equal(proba.argmax(axis=1), scores.argmax(axis=1))


def test_calibration_never_changes_the_label() -> None:
    """Classes whose scores mean different things: by curves of their own another class would often be the most probable."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, 3, 3000)
    scores = rng.normal(size=(3000, 3)) + 1.5 * (index[:, None] == np.arange(3)) * np.array([3, 1, 0.3])
    made = Calibrators("sigmoid").fit(scores, index, balanced=False)
    fresh = rng.normal(size=(2000, 3))
    apart = made(fresh)
    proba = keep_labels(apart.copy(), fresh.argmax(axis=1))
    assert (proba.argmax(axis=1) == fresh.argmax(axis=1)).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.sort(proba, axis=1), np.sort(apart, axis=1), rtol=1e-6)
    assert (apart.argmax(axis=1) != fresh.argmax(axis=1)).mean() > 0.05
