"""Linear discriminant analysis in one matrix product a pixel: classes of one shape about means of their own.

Takes vectors and classes; returns logarithms of probabilities up to a constant. Fitted in float64 (neighbouring bands are
nearly the same, which float32 cannot invert), used in float32. The state is arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

LEAST_VARIANCE = 1e-8  # of directions that are used, of the widest: narrower ones are rounding


class LinearDiscriminant(ClassifierMixin, BaseEstimator):
    """δ_k(x) = x · Σ⁻¹m_k − ½ m_k · Σ⁻¹m_k + log π_k, with Σ the covariance within all classes (Fisher 1936; Rao 1948).

    class_weight : "balanced", equal π_k; None, the shares of the samples. Directions without variance within the classes
    are left out. The scale of the columns does not matter.

    >>> points = np.array([[0, 0], [0, 1], [1, 0], [3, 3], [3, 4], [4, 3]], np.float32)
    >>> LinearDiscriminant().fit(points, [0, 0, 0, 7, 7, 7]).predict([[0.2, 0.3], [2.8, 3.9]])
    array([0, 7])
    """

    def __init__(self, class_weight: str | None = None) -> None:
        self.class_weight = class_weight

    def fit(self, vectors: NDArray[np.float32], classes: ArrayLike) -> LinearDiscriminant:
        """Fit to vectors (n, F) and their classes (n,). Memory: two copies of the vectors in float64."""
        self.classes_, index = np.unique(np.asarray(classes), return_inverse=True)
        self.n_features_in_ = vectors.shape[1]
        exact = np.asarray(vectors, np.float64)
        centre = exact.mean(axis=0)
        exact = exact - centre
        counts = np.bincount(index)
        means = np.stack([exact[index == number].mean(axis=0) for number in range(len(counts))])
        spread = np.sqrt(np.square(exact).mean(axis=0))
        scale = np.where(spread > 0, spread, 1)
        residuals = (exact - means[index]) / scale
        variances, axes = np.linalg.eigh(residuals.T @ residuals / len(index))
        used = variances > max(variances[-1], 1e-300) * LEAST_VARIANCE
        whiten = axes[:, used] / np.sqrt(variances[used]) / scale[:, None]
        weights = whiten @ (whiten.T @ means.T)
        priors = np.full(len(counts), 1 / len(counts)) if self.class_weight == "balanced" else counts / len(index)
        self.centre_ = centre.astype(np.float32)
        self.coef_ = weights.astype(np.float32)
        offsets = (centre - self.centre_) @ weights  # what rounding moved the centre by
        self.intercept_ = (np.log(priors) - 0.5 * (means.T * weights).sum(axis=0) - offsets).astype(np.float32)
        return self

    def decision_function(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Return δ (n, K) float32, also for two classes; its softmax are the probabilities."""
        return (np.asarray(vectors, np.float32) - self.centre_) @ self.coef_ + self.intercept_

    def predict(self, vectors: ArrayLike) -> NDArray[Any]:
        """Return the most probable class, (n,)."""
        return self.classes_[self.decision_function(vectors).argmax(axis=1)]
