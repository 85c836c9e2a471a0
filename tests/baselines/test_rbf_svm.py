"""Machines that share one table of vectors against scikit-learn's, one by one."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from deepnets4eo.baselines.array_estimators import RbfSvm, gaussian_kernel


def samples(classes, count=200):
    rng = np.random.default_rng(classes)
    places = rng.integers(0, classes, count)
    centres = rng.normal(size=(classes, 4)) * 2
    return (centres[places] + rng.normal(size=(count, 4)) + 300).astype(np.float32), places * 3


def test_kernel_equals_scikit_learns():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 7)).astype(np.float32), rng.normal(size=(50, 7)).astype(np.float32)
    np.testing.assert_allclose(gaussian_kernel(first, second, 0.2), rbf_kernel(first, second, gamma=0.2), atol=1e-6)
    assert gaussian_kernel(first * 1000, first * 1000, 1.0).max() <= 1


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_decision_values_equal_those_of_a_machine_for_each_pair(classes, weight):
    vectors, places = samples(classes)
    machine = RbfSvm(C=5, gamma=0.7, class_weight=weight).fit(vectors, places)
    gamma = 0.7 / (4 * (vectors - vectors.mean(axis=0)).var())
    pairs = SVC(C=5, gamma=gamma, class_weight=weight).fit(vectors, places)
    values = machine.decision_function(vectors, kernel_values=1000)
    expected = pairs.decision_function(vectors)
    sure = slice(None) if classes == 2 else np.abs(expected % 1 - 0.5) > 0.02  # a pair next to 0 may be rounded
    np.testing.assert_allclose(values[sure], expected[sure], atol=5e-3)
    assert (machine.predict(vectors) == pairs.predict(vectors)).mean() > 0.99
