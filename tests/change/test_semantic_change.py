"""The score of semantic change by a worked example and by plain counting; one-hot labels of DynamicEarthNet."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.cards import VOID
from deepnets4eo.change import SemanticChangeScore
from deepnets4eo.errors import InputError


def test_a_worked_example():
    """Four pixels, two months. Reference: pixels 1 and 3 change, to classes 1 and 2.

    The prediction changes pixels 1 and 2: one of three is in both, BC = 1/3. Of the two changed pixels the first is right,
    the second is called 0 instead of 2: IoU of class 1 is 1, of class 2 is 0, class 0 is none of the reference: SC = 1/2.
    """
    reference = np.array([[[0, 0, 1, 1]], [[0, 1, 1, 2]]])
    prediction = np.array([[[0, 0, 0, 0]], [[0, 1, 1, 0]]])
    score = SemanticChangeScore(3).update(reference, prediction)
    assert score.binary_change == pytest.approx(1 / 3)
    assert score.semantic_change == pytest.approx(1 / 2)
    assert score.score == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_the_score_equals_plain_counts_pooled_over_sites():
    rng = np.random.default_rng(0)
    sites = [(rng.integers(0, 4, (5, 9, 8)), rng.integers(0, 4, (5, 9, 8))) for _ in range(3)]
    for reference, _ in sites:
        reference[rng.random(reference.shape) < 0.1] = VOID
    score = SemanticChangeScore(4)
    both = either = 0
    hits, union, present = np.zeros(4), np.zeros(4), np.zeros(4)
    for reference, prediction in sites:
        score.update(reference, prediction)
        for before, after, old, new in zip(reference[:-1], reference[1:], prediction[:-1], prediction[1:], strict=True):
            known = (before != VOID) & (after != VOID)
            changed, moved = (before != after) & known, (old != new) & known
            both, either = both + (changed & moved).sum(), either + (changed | moved).sum()
            for label in range(4):
                is_label, called = changed & (after == label), changed & (new == label)
                hits[label] += (is_label & called).sum()
                union[label] += (is_label | called).sum()
                present[label] += is_label.sum()
    assert present.all()
    assert score.binary_change == pytest.approx(both / either)
    assert score.semantic_change == pytest.approx((hits / union).mean())


def test_a_perfect_prediction_has_1_and_flicker_costs_binary_change_alone():
    reference = np.random.default_rng(1).integers(0, 3, (4, 6, 6))
    assert SemanticChangeScore(3).update(reference, reference).score == 1
    still = np.zeros((3, 4, 4), int)
    flicker = still.copy()
    flicker[1] = 1
    score = SemanticChangeScore(3).update(still, flicker)
    assert score.binary_change == 0
    assert np.isnan(score.semantic_change)


def test_shapes_that_do_not_fit_are_refused():
    maps = np.zeros((2, 3, 3), int)
    for reference, prediction in ((maps, maps[:1]), (maps[:1], maps[:1]), (maps[0], maps[0])):
        with raises_naming(InputError, "2 dates"):
            SemanticChangeScore(2).update(reference, prediction)
