"""From decision values to probabilities: a curve a class, fitted to samples that the classifier was not trained on.

Takes decision values of one machine a class; returns probabilities that sum to 1. Classes with too few samples take
the curve of all classes together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from deepnets4eo.metrics import fit_sigmoid

MIN_SAMPLES = 3  # samples of a class, and of the others, needed for a curve of its own


class Calibrators:
    """A curve a class, score → probability, and their normalisation over the classes.

    method : "sigmoid" (Platt, 1999), "isotonic" (Zadrozny and Elkan, 2002) or "none", the softmax of the scores, whose
    order is theirs. Each curve is kept as knots (x, y): a sigmoid's are slope and intercept.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self.curves: list[NDArray[np.float64]] = []

    def fit(self, scores: NDArray[np.floating], index: NDArray[np.intp], *, balanced: bool) -> Calibrators:
        """Fit the curves to scores (n, K), NaN where not known, and each sample's class 0 … K − 1; returns itself.

        balanced : samples of rare classes weigh more, so that all classes weigh the same.
        """
        count = scores.shape[1]
        weights = np.ones(len(index))
        if balanced:
            weights = 1 / np.bincount(index, minlength=count).clip(1)[index]
        positive = index[:, None] == np.arange(count)
        known = np.isfinite(scores)
        pooled = self._fit_curve(scores[known], positive[known], np.broadcast_to(weights[:, None], scores.shape)[known])
        self.curves = []
        for class_index in range(count):
            own = known[:, class_index]
            target = positive[own, class_index]
            curve = pooled
            if min(target.sum(), (~target).sum()) >= MIN_SAMPLES:
                curve = self._fit_curve(scores[own, class_index], target, weights[own])
            self.curves.append(curve if _is_increasing(curve) else pooled)
        return self

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return probabilities (n, K) of scores (n, K)."""
        if self.method == "none":
            return softmax(scores)
        probabilities = np.stack(
            [self._apply_curve(curve, scores[:, class_index]) for class_index, curve in enumerate(self.curves)], axis=1
        )
        total = probabilities.sum(axis=1, keepdims=True)
        nothing = total[:, 0] <= 1e-12  # all curves are 0 there: the softmax of the scores is used
        probabilities[nothing], total[nothing] = softmax(scores[nothing]), 1
        return (probabilities / total).astype(np.float32)

    def _fit_curve(
        self, scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        if self.method == "isotonic" and positive.any():
            from sklearn.isotonic import IsotonicRegression

            rising = IsotonicRegression(y_min=0, y_max=1).fit(scores, positive, sample_weight=weights)
            return np.stack([rising.X_thresholds_, rising.y_thresholds_]).astype(np.float64)
        return platt(scores.astype(np.float64), positive, weights)

    def _apply_curve(self, curve: NDArray[np.float64], scores: NDArray[np.floating]) -> NDArray[np.float64]:
        if curve.ndim == 2:
            return np.interp(scores, curve[0], curve[1])
        return np.asarray(expit(curve[0] * scores + curve[1]))


def platt(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return slope and intercept (2,) of the sigmoid that fits best which samples are positive.

    Targets are moved away from 0 and 1 as Platt does, so that few or separable samples have no infinite slope; with
    samples of one sign only the curve is the plain sigmoid of the score.
    """
    if not positive.any() or positive.all():
        return np.array([1.0, 0.0])
    target = np.where(positive, 1 - 1 / (positive.sum() + 2), 1 / ((~positive).sum() + 2))
    return np.array(fit_sigmoid(scores, target, weights))


def softmax(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return exp(score) over their sum, (n, K) float32."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _is_increasing(curve: NDArray[np.float64]) -> bool:
    """Return whether higher scores mean higher probabilities; other curves are not used for new data."""
    return bool(curve[0] > 0) if curve.ndim == 1 else bool(curve[1, -1] > curve[1, 0])
