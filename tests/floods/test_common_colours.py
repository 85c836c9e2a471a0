"""The commonest colours against scikit-learn's k-means."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from deepnets4eo.floods.common_colours import common_colours


@pytest.mark.parametrize(("seed", "number"), [(0, 14), (1, 5), (2, 1)])
def test_the_colours_are_those_of_scikit_learn(seed: int, number: int) -> None:
    """Of clusters of different sizes, in rounded values that repeat."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(0, 100, (9, 3))
    values = (middles[rng.choice(9, 3000, p=rng.dirichlet(np.ones(9)))] + rng.normal(0, 6, (3000, 3))).round(1)
    expected = KMeans(number, random_state=0, n_init=1).fit(values).cluster_centers_
    np.testing.assert_allclose(common_colours(values, number), expected, rtol=1e-9)
