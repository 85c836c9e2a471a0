"""Trivial answers against their definitions."""

import numpy as np
import pytest
import zero
from sklearn.metrics import f1_score


def test_a_map_of_the_largest_class_has_the_scores_of_scikit_learn() -> None:
    counts = np.array([30, 50, 0, 20])
    truth = np.repeat(np.arange(4), counts)
    scores = zero.largest_class(counts).scores
    assert scores["overall_accuracy"] == pytest.approx(50)
    expected = f1_score(truth, np.ones_like(truth), average=None, labels=[0, 1, 3], zero_division=0).mean()
    assert scores["mean_f1"] == pytest.approx(100 * expected)
    assert scores["kappa"] == 0


def test_everything_changed_has_the_f1_of_its_share() -> None:
    truth = np.arange(100) < 18
    assert zero.everything(0.18).scores["f1"] == pytest.approx(100 * f1_score(truth, np.ones(100, bool)))
    assert zero.everything(0.18).scores["iou"] == pytest.approx(18)
    assert zero.chance(10).scores["overall_accuracy"] == 10


def test_the_median_of_a_row_is_taken_over_the_other_images() -> None:
    rng = np.random.default_rng(0)
    slope = np.arange(8.0)[:, None]
    images = [slope + number + np.zeros((8, 6)) for number in (0, 0, 3)]
    known = [np.ones((8, 6), bool) for _ in images]
    scores = zero.median_of_rows(images, known).scores
    assert scores["rmse"] == pytest.approx(np.sqrt((1.5**2 + 1.5**2 + 3**2) / 3))
    flat = zero.constant(np.stack(images), np.stack(known)).scores
    assert flat["mae"] > scores["mae"]
    values = rng.normal(size=50)
    assert zero.constant(values, np.ones(50, bool), 0.0).scores["rmse"] == pytest.approx(np.sqrt((values**2).mean()))


def test_a_row_beats_its_zero_by_more_than_its_spread() -> None:
    assert zero.beats([50, 52, 54], 49)
    assert not zero.beats([50, 52, 54], 50.5)
    assert zero.beats([0.3], 0.4, higher=False)
    assert not zero.beats([0.4], 0.4, higher=False)
