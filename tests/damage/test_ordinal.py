"""The small regressions: what scikit-learn finds where signs allow it, and never a forbidden sign."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.linear_model import LogisticRegression

from deepnets4eo.damage.structure.border import balance_weights, fit_border
from deepnets4eo.damage.table.probabilities import grade_probabilities
from deepnets4eo.errors import InputError


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(400, 3))
    return evidence, rng.random(400) < 1 / (1 + np.exp(-(evidence @ [1.5, -1.0, 0.5] + 0.3)))


def test_right_signs_give_the_plain_ridge_regression() -> None:
    evidence, beyond = data(0)
    border = fit_border(evidence, beyond, np.ones(400), np.array([1, -1, 1]), ridge=0.05)
    reference = LogisticRegression(C=1 / (0.05 * 400), tol=1e-8).fit(evidence, beyond)
    assert border.weights == pytest.approx(reference.coef_[0], abs=1e-3)
    assert border.intercept == pytest.approx(reference.intercept_[0], abs=1e-3)


@given(st.integers(0, 1000), st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3))
def test_no_weight_ever_has_a_forbidden_sign(seed: int, points: list[int]) -> None:
    evidence, beyond = data(seed)
    border = fit_border(evidence, beyond, np.ones(400), np.array(points), ridge=0.01)
    assert (border.weights * points >= 0).all()
    assert (border.weights[np.array(points) == 0] == 0).all()


def test_one_sided_data_are_refused() -> None:
    with pytest.raises(InputError, match="one side of the border"):
        fit_border(np.zeros((5, 1)), np.ones(5, bool), np.ones(5), np.array([1]), 0.1)


def test_balanced_weights_give_every_place_and_side_the_same_say() -> None:
    beyond = np.array([True] * 10 + [False] * 30 + [True] * 2 + [False] * 1)
    domain = np.array(["a"] * 40 + ["b"] * 3)
    weight = balance_weights(beyond, domain)
    sums = [weight[(domain == name) & (beyond == side)].sum() for name in "ab" for side in (True, False)]
    assert sums == pytest.approx([43 / 4] * 4)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_grade_probabilities_are_probabilities_whatever_the_borders_say(beyond: list[float]) -> None:
    grades = grade_probabilities(np.array([beyond]))
    assert (grades >= -1e-12).all()
    assert grades.sum() == pytest.approx(1)
    if sorted(beyond, reverse=True) == beyond:
        assert grades[0, 3] == pytest.approx(beyond[2])
        assert grades[0, 2:].sum() == pytest.approx(beyond[1])
