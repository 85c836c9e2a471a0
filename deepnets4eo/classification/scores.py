"""Scores of image labels: overall, by class, by rank, and calibration of the probabilities; empty classes have no score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix, calibration_error, temperature

THRESHOLD = 0.5  # of the probability of one of several labels, as published


def score_images(logits: Floats, targets: Mask, names: Sequence[str], *, several: bool) -> dict[str, Any]:
    """Score labelled images.

    Raises InputError for arrays that do not belong together, and without `several` for an image without exactly one label.

    Parameters
    ----------
    logits : (N, K) scores before normalisation
    targets : (N, K) bool, the labels
    names : names of the classes
    several : whether an image may have several labels; each label is then assigned at a probability of 0.5 or more

    Returns
    -------
    Fractions by name: macro_f1, micro_f1, macro_ap, micro_ap (average precision), ece (expected calibration error); by class f1,
    precision, recall, average_precision, support (images). With one label per image, also the scores of one confusion matrix.
    Undefined scores are NaN; macro_f1 is the mean over all classes that are true or predicted.

    Examples
    --------
    >>> scores = score_images(np.eye(2) * 9, np.eye(2, dtype=bool), ["field", "town"], several=False)
    >>> scores["overall_accuracy"], scores["micro_ap"], scores["support"]
    (1.0, 1.0, {'field': 1, 'town': 1})
    """
    if logits.shape != targets.shape or len(names) != targets.shape[1]:
        raise InputError(
            f"got logits {logits.shape}, targets {targets.shape} and {len(names)} names; expected (N, K) twice and K."
        )
    if not several:
        check_one_label(targets)
    from scipy.special import expit, softmax  # long to load, for `check` of a folder

    probabilities = expit(logits) if several else softmax(logits, axis=1)
    scores: dict[str, Any]
    if several:
        scores = _label_scores(probabilities >= THRESHOLD, targets, names)
        confidence, right = np.maximum(probabilities, 1 - probabilities), (probabilities >= THRESHOLD) == targets
    else:
        chosen = probabilities.argmax(axis=1)
        truth = targets.argmax(axis=1)
        matrix = ConfusionMatrix(len(names)).update(truth.astype(np.uint8), chosen.astype(np.uint8))
        scores = report.scores(matrix, names)
        scores |= {"macro_f1": scores["mean_f1"], "micro_f1": scores["overall_accuracy"]}
        confidence, right = probabilities.max(axis=1), chosen == truth
    scores |= _ranking(probabilities, targets, names)
    scores["ece"] = calibration_error(confidence.ravel(), right.ravel()) if len(targets) else float("nan")
    scores["support"] = dict(zip(names, map(int, targets.sum(axis=0)), strict=True))
    scores["images"] = len(targets)
    return scores


def check_one_label(targets: Mask, names: Sequence[str] | None = None) -> None:
    """Refuse images (N, K) that have not one label each, by InputError that names the first; `names`: of the images."""
    wrong = np.flatnonzero(targets.sum(axis=1) != 1)
    if not len(wrong):
        return
    image = f"image {wrong[0]}" if names is None else names[wrong[0]]
    labels = int(targets[wrong[0]].sum())
    raise InputError(
        f"{len(wrong):,} of {len(targets):,} images have not one label to be scored by, e.g. {image} has {labels or 'none'}. Label them, leave them "
        "out, or set data.labels=several (several=True)."
    )


def fit_temperature(logits: Floats, targets: Mask, *, several: bool) -> float:
    """Return the divisor of the logits that calibrates the probabilities, of one label or of all labels together."""
    if not several:
        return temperature(logits, targets.argmax(axis=1))
    odds = logits.ravel()
    return temperature(np.stack([np.zeros_like(odds), odds], axis=1), targets.ravel().astype(np.int64))


def _label_scores(chosen: Mask, targets: Mask, names: Sequence[str]) -> dict[str, Any]:
    right, predicted, true = (
        counts.astype(float) for counts in ((chosen & targets).sum(0), chosen.sum(0), targets.sum(0))
    )
    by_class = {"f1": (2 * right, predicted + true), "precision": (right, predicted), "recall": (right, true)}
    scores: dict[str, Any] = {
        name: dict(zip(names, map(float, _ratio(part, whole)), strict=True)) for name, (part, whole) in by_class.items()
    }
    f1 = _ratio(2 * right, predicted + true)
    scores["macro_f1"] = _mean(f1[np.isfinite(f1)])  # a class that is only predicted counts, with 0
    scores["micro_f1"] = float(_ratio(2 * right.sum(keepdims=True), (predicted + true).sum(keepdims=True))[0])
    scores["overall_accuracy"] = float((chosen == targets).mean()) if targets.size else float("nan")
    return scores


def _ranking(probabilities: Floats, targets: Mask, names: Sequence[str]) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score  # half a second, which reading a recipe need not wait for

    present = targets.any(axis=0)
    by_class = np.full(len(names), np.nan)
    for column in np.flatnonzero(present):
        by_class[column] = average_precision_score(targets[:, column], probabilities[:, column])
    micro = average_precision_score(targets.ravel(), probabilities.ravel()) if present.any() else float("nan")
    ranked = dict(zip(names, map(float, by_class), strict=True))
    return {"average_precision": ranked, "macro_ap": _mean(by_class[present]), "micro_ap": float(micro)}


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
