"""From decision values to probabilities: a curve a class, learnt from samples that the classifier did not see.

Takes decision values of one machine a class; gives probabilities that sum to 1. Classes with too few samples take the
curve of all classes together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 3  # samples of a class, and of the others, that a curve of its own needs


class Calibrators:
    """A curve a class, score → probability, and their normalisation over the classes.

    method : "sigmoid" (Platt, 1999), "isotonic" (Zadrozny and Elkan, 2002) or "none", the softmax of the scores, whose
    order is theirs. Each curve is kept as knots (x, y): a sigmoid's are slope and intercept.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self.curves: list[NDArray[np.float64]] = []

    def fit(self, scores: NDArray[np.floating], index: NDArray[np.intp], *, balanced: bool) -> Calibrators:
        """Learn from scores (n, K), NaN where nothing is known, and each sample's class 0 … K − 1; returns itself.

        balanced : samples of rare classes weigh more, so that all classes weigh alike.
        """
        count = scores.shape[1]
        weights = np.ones(len(index))
        if balanced:
            weights = 1 / np.bincount(index, minlength=count).clip(1)[index]
        positive = index[:, None] == np.arange(count)
        known = np.isfinite(scores)
        pooled = self._curve(scores[known], positive[known], np.broadcast_to(weights[:, None], scores.shape)[known])
        self.curves = []
        for place in range(count):
            own = known[:, place]
            wanted = positive[own, place]
            curve = pooled
            if min(wanted.sum(), (~wanted).sum()) >= FEWEST:
                curve = self._curve(scores[own, place], wanted, weights[own])
            self.curves.append(curve if _rises(curve) else pooled)
        return self

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities (n, K) of scores (n, K)."""
        if self.method == "none":
            return softmax(scores)
        found = np.stack([self._along(curve, scores[:, place]) for place, curve in enumerate(self.curves)], axis=1)
        total = found.sum(axis=1, keepdims=True)
        nothing = total[:, 0] <= 1e-12  # no class wants it: the scores decide
        found[nothing], total[nothing] = softmax(scores[nothing]), 1
        return (found / total).astype(np.float32)

    def _curve(
        self, scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        if self.method == "isotonic" and positive.any():
            from sklearn.isotonic import IsotonicRegression

            rising = IsotonicRegression(y_min=0, y_max=1).fit(scores, positive, sample_weight=weights)
            return np.stack([rising.X_thresholds_, rising.y_thresholds_]).astype(np.float64)
        return platt(scores.astype(np.float64), positive, weights)

    def _along(self, curve: NDArray[np.float64], scores: NDArray[np.floating]) -> NDArray[np.float64]:
        if curve.ndim == 2:
            return np.interp(scores, curve[0], curve[1])
        return _logistic(curve[0] * scores + curve[1])


def platt(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Slope and intercept of the sigmoid nearest to which samples are positive, (2,), by Newton's method.

    The targets are drawn in from 0 and 1 as Platt does, so that few or separable samples give no infinite slope; with
    samples of one sign only the curve is the plain sigmoid of the score.
    """
    if not positive.any() or positive.all():
        return np.array([1.0, 0.0])
    centre, spread = scores.mean(), scores.std() or 1.0
    unit = (scores - centre) / spread
    weights = weights / weights.sum()
    target = np.where(positive, 1 - 1 / (positive.sum() + 2), 1 / ((~positive).sum() + 2))
    design = np.stack([unit, np.ones_like(unit)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(100):
        guess = _logistic(design @ found)
        gradient = design.T @ (weights * (guess - target)) + 1e-6 * found
        curvature = design.T @ (design * (weights * guess * (1 - guess))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found -= step * min(1.0, 2.0 / float(np.abs(step).max()))  # far from the optimum Newton's steps overshoot
        if np.abs(step).max() < 1e-8:
            break
    return np.array([found[0] / spread, found[1] - found[0] * centre / spread])


def softmax(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """exp(score) over their sum, (n, K) float32."""
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def _rises(curve: NDArray[np.float64]) -> bool:
    """Whether higher scores mean more probable: scores that mislead in the folds say nothing of new places."""
    return bool(curve[0] > 0) if curve.ndim == 1 else bool(curve[1, -1] > curve[1, 0])


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(expit(values))
