"""Shares of wrong labels estimated from probabilities: against labels corrupted by a known share."""

import numpy as np
import pytest

from deepnets4eo.cards import VOID
from deepnets4eo.change.cleansing import count_packed, estimate_label_noise

SIDE = 400


def network_and_truth(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Packed probabilities of a network that is sure of most pixels and right about them, and the true labels."""
    truth = (rng.random((SIDE, SIDE)) < 0.2).astype(np.uint8)
    probability = np.where(truth == 1, rng.beta(8, 1, truth.shape), rng.beta(1, 8, truth.shape))
    return np.rint(254 * probability).astype(np.uint8), truth


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_the_share_of_labels_that_were_corrupted_is_estimated(rate: float) -> None:
    rng = np.random.default_rng(0)
    packed, truth = network_and_truth(rng)
    missing = (truth == 1) & (rng.random(truth.shape) < rate)
    added = (truth == 0) & (rng.random(truth.shape) < missing.sum() / (truth == 0).sum())
    labels = np.where(missing, 0, np.where(added, 1, truth)).astype(np.uint8)
    noise = estimate_label_noise(count_packed(labels, packed, np.ones(truth.shape, bool)))
    assert noise.change == pytest.approx((truth[labels == 1] == 0).mean(), abs=0.06)
    assert noise.no_change == pytest.approx((truth[labels == 0] == 1).mean(), abs=0.02)


def test_counts_are_those_of_the_plain_sum_without_void_and_unknown_pixels() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 1, VOID], np.uint8), (20, 30))
    packed, known = rng.integers(0, 255, (20, 30)).astype(np.uint8), rng.random((20, 30)) < 0.8
    expected = np.zeros((2, 256), int)
    for label, value, is_known in zip(labels.flat, packed.flat, known.flat, strict=True):
        if is_known and label != VOID:
            expected[label, value] += 1
    np.testing.assert_array_equal(count_packed(labels, packed, known), expected)


def test_without_labels_of_one_class_nothing_is_known() -> None:
    counts = np.zeros((2, 256), np.int64)
    counts[0, 10] = 5
    assert np.isnan(estimate_label_noise(counts).change)


def test_a_network_that_cannot_tell_the_classes_apart_blames_the_nearer_one() -> None:
    """Labels are the reverse of what it predicts: its probabilities of change are lower where change is labelled."""
    counts = np.zeros((2, 256), np.int64)
    counts[0, 200], counts[1, 50] = 10, 10
    noise = estimate_label_noise(counts)
    assert (noise.no_change, noise.change) == (1, 1)
