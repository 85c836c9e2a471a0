"""Scores of images with one label and with several, beside scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from deepnets4eo.classification import score_images
from deepnets4eo.classification.scores import fit_temperature
from deepnets4eo.errors import InputError

NAMES = ("a", "b", "c", "d")


def test_scores_of_several_labels_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(60, 4)), rng.random((60, 4)) < 0.4
    targets[:, 3] = False  # a class without images
    scores = score_images(logits, targets, NAMES, several=True)
    chosen, seen = logits >= 0, slice(0, 3)
    for name, function in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        ours = [scores[name][one] for one in NAMES[:3]]
        np.testing.assert_allclose(ours, function(targets[:, seen], chosen[:, seen], average=None))
    assert chosen[:, 3].any()  # it is predicted, so that it counts with an F1 of 0
    assert scores["macro_f1"] == pytest.approx(f1_score(targets, chosen, average="macro", zero_division=0))
    assert scores["micro_f1"] == pytest.approx(f1_score(targets, chosen, average="micro"))
    assert scores["macro_ap"] == pytest.approx(
        average_precision_score(targets[:, seen], logits[:, seen], average="macro")
    )
    assert scores["micro_ap"] == pytest.approx(average_precision_score(targets.ravel(), logits.ravel()))
    assert scores["support"]["d"] == 0
    assert np.isnan(scores["average_precision"]["d"])


def test_scores_of_one_label_are_those_of_one_confusion_matrix() -> None:
    targets = np.eye(3, dtype=bool)[[0, 0, 1, 2]]
    logits = 8.0 * np.eye(3)[[0, 1, 1, 2]]
    scores = score_images(logits, targets, NAMES[:3], several=False)
    assert scores["overall_accuracy"] == scores["micro_f1"] == 0.75
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    sure = np.exp(8) / (np.exp(8) + 2)
    assert scores["ece"] == pytest.approx(sure - 0.75)
    with pytest.raises(InputError, match="expected"):
        score_images(logits, targets, NAMES, several=False)


def test_the_temperature_undoes_a_factor_on_the_scores() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(size=(4000, 3))
    labels = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
    assert fit_temperature(3 * odds, labels, several=True) == pytest.approx(3, rel=0.1)


def test_a_class_that_is_neither_true_nor_predicted_enters_no_mean() -> None:
    targets = np.array([[1, 0, 0], [0, 1, 0]], bool)
    scores = score_images(np.where(targets, 9.0, -9.0), targets, NAMES[:3], several=True)
    assert np.isnan(scores["f1"]["c"])
    assert scores["macro_f1"] == 1.0


@pytest.mark.parametrize(("row", "labels"), [([0, 0], "none"), ([1, 1], "2")])
def test_images_without_one_label_are_no_reference_of_one_label(row: list[int], labels: str) -> None:
    targets = np.array([[1, 0], row, [0, 1]], bool)
    with pytest.raises(
        InputError, match=f"1 of 3 images have not one label to be scored by, e.g. image 1 has {labels}"
    ):
        score_images(np.eye(3)[:, :2], targets, NAMES[:2], several=False)
    assert score_images(np.eye(3)[:, :2], targets, NAMES[:2], several=True)["images"] == 3
