"""Public estimators pass scikit-learn's own checks: labels of any kind, validation, NotFittedError, n_features_in_."""

from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from deepnets4eo.baselines import EstimatorOptions, SelfOrganizingMap, build_estimator
from deepnets4eo.baselines.array_estimators import LinearDiscriminant, RbfSvm, SpectralAngleMapper

pytest.importorskip("sklearn", minversion="1.6", reason="older ones have no list of the checks' results")
from sklearn.utils.estimator_checks import check_estimator

OURS = [LinearDiscriminant(), SpectralAngleMapper(), RbfSvm(), SelfOrganizingMap(), build_estimator(EstimatorOptions(name="logistic"))]  # fmt: skip
ON_PURPOSE = {
    "SelfOrganizingMap": {
        "check_classifiers_classes": "-1 says that a sample has no label, as scikit-learn's semi-supervised ones have it",
        "check_class_weight_classifiers": "a unit has the classes of its own samples alone, so that no weight adds another",
    }
}


@pytest.mark.parametrize("estimator", OURS, ids=lambda one: type(one).__name__)
def test_estimators_keep_the_contract_of_scikit_learn(estimator: Any) -> None:
    expected = ON_PURPOSE.get(type(estimator).__name__, {})
    results = check_estimator(estimator, expected_failed_checks=expected, on_fail=None, on_skip=None)
    assert len(results) > 40
    assert [(one["check_name"], one["exception"]) for one in results if one["status"] == "failed"] == []
    assert {one["check_name"] for one in results if one["status"] == "xfail"} == set(expected)


@pytest.mark.parametrize("estimator", [LinearDiscriminant(), SpectralAngleMapper()], ids=lambda one: type(one).__name__)
def test_decision_values_of_two_classes_are_one_column_and_probabilities_keep_two(estimator: Any) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)).astype(np.float32) + np.repeat([[1, 1, 1, 3], [3, 1, 2, 1]], 30, axis=0)
    names = np.repeat(["field", "water"], 30)
    scores = estimator.fit(vectors, names).class_scores(vectors)
    assert scores.shape == (60, 2)
    np.testing.assert_array_equal(estimator.decision_function(vectors), scores[:, 1] - scores[:, 0])
    np.testing.assert_array_equal(estimator.predict(vectors) == "water", scores[:, 1] > scores[:, 0])
    name = {"LinearDiscriminant": "lda", "SpectralAngleMapper": "sam"}[type(estimator).__name__]
    whole = build_estimator(EstimatorOptions(name=name, class_weight="none")).fit(vectors, names)  # type: ignore[arg-type]
    np.testing.assert_allclose(whole.predict_proba(vectors), softmax(scores, axis=1), rtol=1e-5, atol=1e-7)


def test_a_class_that_counts_more_is_predicted_more_often() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(200, 3)) + np.repeat([[0.0], [0.5]], 100, axis=0)
    names = np.repeat(["field", "water"], 100)
    for kind in (LinearDiscriminant, RbfSvm):
        shares = [(kind(class_weight=weight).fit(vectors, names).predict(vectors) == "water").mean() for weight in ({"water": 0.2}, None, {"water": 5})]  # fmt: skip
        assert shares[0] < shares[1] < shares[2]
