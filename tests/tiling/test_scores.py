"""Scores: normalising, choosing and packing, against SciPy and plain NumPy."""

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.special import log_softmax, softmax

from deepnets4eo.tiling import (
    SCORES,
    Packed,
    best_class,
    blended_probabilities,
    entropy,
    probabilities,
    to_blend_scores,
)
from deepnets4eo.tiling.scores import log_probabilities

raw_scores = arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-30, 30)
)


@given(raw_scores)
def test_softmax_is_scipys(raw):
    np.testing.assert_allclose(probabilities(raw), softmax(raw.astype(float), axis=0), atol=1e-6)
    np.testing.assert_allclose(log_probabilities(raw), log_softmax(raw.astype(float), axis=0), atol=1e-4)


@given(raw_scores)
def test_best_is_the_first_largest_in_any_memory_order(raw):
    expected = raw.argmax(axis=0)
    np.testing.assert_array_equal(best_class(raw), expected)
    np.testing.assert_array_equal(
        best_class(np.moveaxis(np.ascontiguousarray(np.moveaxis(raw, 0, -1)), -1, 0)), expected
    )


def test_best_of_many_classes_over_many_rows_is_the_first_largest():
    scores = np.random.default_rng(0).integers(0, 40, (70, 21, 60)).astype(np.float32)  # channels last, with equals
    channels_first = np.moveaxis(scores, -1, 0)
    np.testing.assert_array_equal(best_class(channels_first), scores.argmax(axis=-1))
    np.testing.assert_array_equal(best_class(np.ascontiguousarray(channels_first)), scores.argmax(axis=-1))


@given(raw_scores)
def test_one_tile_gives_the_same_probabilities_whatever_is_summed(raw):
    for kind in SCORES:
        np.testing.assert_allclose(
            blended_probabilities(to_blend_scores(raw, kind), kind), probabilities(raw), atol=1e-5
        )


@given(raw_scores)
def test_entropy_is_scipys_as_a_share_of_its_maximum(raw):
    proba = probabilities(raw)
    expected = stats.entropy(proba.astype(float), base=len(raw)) if len(raw) > 1 else np.zeros(raw.shape[1:])
    np.testing.assert_allclose(entropy(proba), expected, atol=1e-5)


@given(arrays(np.float32, 9, elements=st.floats(-0.125, 1.125, width=32)))
def test_packing_loses_less_than_half_a_step_and_keeps_255_free(fraction):
    found = Packed.pack(fraction)
    assert found.max() <= 254
    np.testing.assert_allclose(found / 254, np.clip(fraction, 0, 1), atol=0.5 / 254 + 1e-6)


def test_logits_far_apart_become_probabilities_without_overflow():
    raw = np.array([-500, 0, 300], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(probabilities(raw).ravel(), [0, 0, 1])
    np.testing.assert_allclose(log_probabilities(raw).ravel(), [-800, -300, 0])
