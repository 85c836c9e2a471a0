"""One vote per superpixel, against a loop over superpixels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from deepnets4eo.baselines.postprocessing import superpixel_vote
from deepnets4eo.baselines.postprocessing.votes import region_shares
from deepnets4eo.errors import InputError

SHAPE = (6, 7)
LABELS = arrays.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 3, 255]))
IDS = arrays.arrays(np.int32, SHAPE, elements=st.integers(-1, 4))


@given(LABELS, IDS)
def test_each_superpixel_takes_its_most_frequent_label(labels, ids):
    expected = labels.copy()
    for one in range(5):
        mask = (ids == one) & (labels != 255)
        if mask.any():
            expected[mask] = np.bincount(labels[mask]).argmax()
    np.testing.assert_array_equal(superpixel_vote(labels, ids), expected)
    known = labels != 255
    shares = region_shares(labels, ids, 4)
    np.testing.assert_array_equal(shares[:, known].argmax(axis=0), expected[known])
    assert np.isnan(shares[:, ~known]).all()


@given(IDS, st.integers(0, 99))
def test_probabilities_become_the_superpixels_mean_of_what_is_known(ids, seed):
    proba = np.random.default_rng(seed).dirichlet(np.ones(3), SHAPE).transpose(2, 0, 1).astype(np.float32)
    proba[:, 0, 0] = np.nan
    found = superpixel_vote(proba, ids)
    for row, col in np.ndindex(SHAPE):
        same = (ids == ids[row, col]) & ~np.isnan(proba[0]) if ids[row, col] >= 0 else np.zeros(SHAPE, bool)
        expected = proba[:, same].mean(axis=1) if same.any() and (row, col) != (0, 0) else proba[:, row, col]
        np.testing.assert_allclose(found[:, row, col], expected, atol=1e-6)


def test_one_superpixel_and_one_class_do_no_harm():
    assert (superpixel_vote(np.full((3, 3), 255, np.uint8), np.zeros((3, 3), int)) == 255).all()
    one = np.ones((1, 3, 3), np.float32)
    np.testing.assert_array_equal(superpixel_vote(one, np.zeros((3, 3), int)), one)
    np.testing.assert_array_equal(superpixel_vote(one, np.full((3, 3), -1)), one)


def test_superpixels_of_another_image_are_refused():
    with pytest.raises(InputError, match="of the same image"):
        superpixel_vote(np.zeros((3, 3), np.uint8), np.zeros((3, 4), int))
