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


def test_the_median_of_a_row_is_of_the_training_images() -> None:
    slope = np.arange(8.0)[:, None]
    learnt = [slope + number + np.zeros((8, 6)) for number in (0, 1, 5)]
    tested = [slope + 3 + np.zeros((8, 6))]
    tested[0][2] = np.nan
    assert zero.median_of_rows(learnt, tested).scores == {"rmse": 2, "mae": 2}
    learnt[0][0] = learnt[1][0] = learnt[2][0] = np.nan
    assert zero.median_of_rows(learnt, tested).scores["mae"] > 2
    values = np.random.default_rng(0).normal(size=50)
    assert zero.constant([np.array([1, 2, 9, np.nan])], [values]).scores["rmse"] == pytest.approx(
        np.sqrt(((values - 2) ** 2).mean())
    )


def test_a_row_beats_its_zero_by_more_than_its_spread() -> None:
    assert zero.beats([50, 52, 54], 49)
    assert not zero.beats([50, 52, 54], 50.5)
    assert zero.beats([0.3], 0.4, higher=False)
    assert not zero.beats([0.4], 0.4, higher=False)
