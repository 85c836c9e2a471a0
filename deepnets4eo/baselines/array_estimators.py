"""Classifiers whose state consists only of arrays: linear discriminant analysis, the spectral angle mapper, Gaussian support vector machines.

Each classifier takes vectors (n, F) and classes (n,), and predicts by one matrix product for all pixels.

The matrix contains the means of the classes, their directions, or kernels. For kernels, all machines share one table of
vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from deepnets4eo.baselines.checked_samples import ClassWeight, check_samples, check_vectors

MIN_VARIANCE = 1e-8  # of directions that are used, of the widest: narrower ones are rounding

CHUNK_VECTORS = 1 << 13  # spectra at once: their products stay in the processor's cache
MIN_SPREAD = 1e-3  # radians: float32 cosines of nearly equal spectra know angles to 5e-4

SHARED_KERNEL_SAMPLES = 6000  # samples whose kernel is computed once for all classes: 288 MB
KERNEL_VALUES = 1 << 17  # in memory at once: half a megabyte fits into the processor's cache


class ScoredClassifier(ClassifierMixin, BaseEstimator):
    """Base of classifiers that compute a score for each class and predict the class with the highest score."""

    classes_: NDArray[Any]

    def class_scores(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return a score a class, (n, K) float32, also for two."""
        raise NotImplementedError

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the scores (n, K) float32; for two classes by how much the second is higher, (n,)."""
        scores = self.class_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of the highest score, (n,)."""
        best = self.class_scores(X).argmax(axis=1)
        return self.classes_[best]


class LinearDiscriminant(ScoredClassifier):
    """δ_k(x) = x · Σ⁻¹m_k − ½ m_k · Σ⁻¹m_k + log π_k, with Σ the covariance within all classes (Fisher 1936; Rao 1948).

    class_weight : "balanced", equal π_k; None, the shares of the samples, which a mapping of classes multiplies. Directions without variance within the classes
    are left out. The scale of the columns does not matter."""

    def __init__(self, class_weight: ClassWeight = None) -> None:
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike) -> LinearDiscriminant:
        """Fit to vectors (n, F) and their classes (n,). Memory: two copies of the vectors in float64."""
        vectors, index = check_samples(self, X, y)
        exact = np.asarray(vectors, np.float64)
        centre = exact.mean(axis=0)
        exact = exact - centre
        counts = np.bincount(index)
        means = np.stack([exact[index == number].mean(axis=0) for number in range(len(counts))])
        spread = np.sqrt(np.square(exact).mean(axis=0))
        scale = np.where(spread > 0, spread, 1)
        residuals = (exact - means[index]) / scale
        variances, axes = np.linalg.eigh(residuals.T @ residuals / len(index))
        used = variances > max(variances[-1], 1e-300) * MIN_VARIANCE
        whiten = axes[:, used] / np.sqrt(variances[used]) / scale[:, None]
        weights = whiten @ (whiten.T @ means.T)
        priors = np.full(len(counts), 1 / len(counts)) if self.class_weight == "balanced" else counts / len(index)
        if isinstance(self.class_weight, Mapping):
            priors = counts * [self.class_weight.get(name, 1) for name in self.classes_.tolist()]
            priors = priors / priors.sum()
        self.centre_ = centre.astype(np.float32)
        self.coef_ = weights.astype(np.float32)
        offsets = (centre - self.centre_) @ weights  # what rounding moved the centre by
        self.intercept_ = (np.log(priors) - 0.5 * (means.T * weights).sum(axis=0) - offsets).astype(np.float32)
        return self

    def class_scores(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return δ (n, K) float32; its softmax are the probabilities."""
        return (check_vectors(self, X) - self.centre_) @ self.coef_ + self.intercept_


class SpectralAngleMapper(ScoredClassifier):
    """Spectral angle mapper: class k of the smallest angle θ_k = arccos(x · m_k / ‖x‖‖m_k‖), where m_k is the mean
    spectrum of the class as measured.

    Decision values are −θ² / 2σ², where σ is the root mean square of the angles between training spectra and their
    class.

    Probabilities are the softmax of the decision values. Source: Kruse et al., Remote Sensing of Environment 44, 1993.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> SpectralAngleMapper:
        """Fit to spectra (n, F) and their classes (n,); classes weigh the same in the spread."""
        vectors, index = check_samples(self, X, y)
        rows = [index == number for number in range(len(self.classes_))]
        means = np.stack([vectors[row].mean(axis=0, dtype=np.float64) for row in rows])
        self.directions_ = _unit(means).astype(np.float32)
        own_squares = np.square(self.angles(vectors)[np.arange(len(index)), index], dtype=np.float64)
        spread = np.sqrt(np.mean([own_squares[row].mean() for row in rows]))
        self.spread_ = float(max(spread, MIN_SPREAD))
        return self

    def angles(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the angle of each spectrum (n, F) to each class, (n, K) float32 radians, 0 to π; zeros are at right
        angles to all."""
        vectors = check_vectors(self, X)
        angles = np.empty((len(vectors), len(self.directions_)), np.float32)
        turned = np.ascontiguousarray(self.directions_.T)
        for start in range(0, len(vectors), CHUNK_VECTORS):
            part = slice(start, start + CHUNK_VECTORS)
            length = np.sqrt(np.einsum("ij,ij->i", vectors[part], vectors[part]))
            cosine = vectors[part] @ turned
            cosine /= np.maximum(length, np.finfo(np.float32).tiny)[:, None]
            np.arccos(np.clip(cosine, -1, 1, out=cosine), out=angles[part])
        return angles

    def class_scores(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return −θ² / 2σ² for each class, (n, K) float32."""
        angles = self.angles(X)
        angles *= np.float32(np.sqrt(0.5) / self.spread_)
        return -(angles * angles)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of the smallest angle, (n,)."""
        nearest = self.angles(X).argmin(axis=1)
        return self.classes_[nearest]


def _unit(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return spectra of length 1; zeros stay zeros."""
    length = np.linalg.norm(spectra, axis=1, keepdims=True)
    return spectra / np.where(length > 0, length, 1)


class RbfSvm(ClassifierMixin, BaseEstimator):
    """f_m(x) = Σ_s coef[s, m] · exp(−γ ‖x − s‖²) + intercept[m], a machine m for each pair of classes (libsvm; up to some
    10 000 samples).

    gamma : in units of 1 / (features × their variance), so that 1 is a sound start
    """

    def __init__(self, C: float = 1.0, gamma: float = 1.0, class_weight: ClassWeight = None) -> None:
        self.C, self.gamma, self.class_weight = C, gamma, class_weight

    def fit(self, X: ArrayLike, y: ArrayLike) -> RbfSvm:
        """Fit to vectors (n, F) and their classes (n,), at least two."""
        vectors, index = check_samples(self, X, y)
        self.centre_ = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)  # distances lose fewer digits
        centred = vectors - self.centre_
        variance = float(centred.var(dtype=np.float64))
        self.gamma_ = self.gamma / (vectors.shape[1] * variance) if variance > 0 else 1.0
        self._fit_machines(centred, index)
        return self

    def decision_function(self, X: ArrayLike, *, kernel_values: int = KERNEL_VALUES) -> NDArray[np.float32]:
        """Return the pairs that each class wins and, below a third, how clearly, (n, K); for two classes the decision
        values (n,), positive for the second. kernel_values : in memory at once."""
        centred = check_vectors(self, X) - self.centre_
        rows = max(32, kernel_values // len(self.vectors_))
        parts = [
            gaussian_kernel(centred[start : start + rows], self.vectors_, self.gamma_) @ self.coef_
            for start in range(0, max(len(centred), 1), rows)
        ]
        values = np.concatenate(parts) + self.intercept_
        return values[:, 0] if len(self.classes_) == 2 else pairs_won(values, len(self.classes_))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of the highest decision value, (n,)."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def _fit_machines(self, centred: NDArray[np.float32], index: NDArray[np.intp]) -> None:
        from sklearn.svm import SVC

        weight = self.class_weight
        if isinstance(weight, Mapping):
            weight = {number: weight.get(name, 1) for number, name in enumerate(self.classes_.tolist())}
        shared = len(centred) <= SHARED_KERNEL_SAMPLES
        kernel = gaussian_kernel(centred, centred, self.gamma_).astype(np.float64) if shared else centred
        machine = SVC(
            C=self.C, kernel="precomputed" if shared else "rbf", gamma=self.gamma_, class_weight=weight,
            cache_size=300,
        ).fit(kernel, index)  # fmt: skip
        count, used = len(self.classes_), machine.support_
        of_class = index[used]
        columns = [machine.dual_coef_[0]] if count == 2 else [
            np.where(of_class == first, machine.dual_coef_[second - 1], 0)
            + np.where(of_class == second, machine.dual_coef_[first], 0)
            for first, second in combinations(range(count), 2)
        ]  # fmt: skip
        self.vectors_ = np.ascontiguousarray(centred[used], np.float32)
        self.coef_ = np.stack(columns, axis=1).astype(np.float32)
        self.intercept_ = np.asarray(machine.intercept_, np.float32)


def pairs_won(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return for each of `count` classes the pairs that it wins, and below a third how clearly, (n, K) float32.

    values : (n, K (K − 1) / 2) of the pairs in order, positive for the first class.
    """
    won, clearly = np.zeros((2, len(values), count), np.float32)
    for column, (first, second) in zip(values.T, combinations(range(count), 2), strict=True):
        won[:, first] += column > 0
        won[:, second] += column <= 0
        clearly[:, first] += column
        clearly[:, second] -= column
    return np.asarray(won + clearly / (3 * (np.abs(clearly) + 1)), np.float32)


def gaussian_kernel(first: NDArray[np.float32], second: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    """Return exp(−γ ‖a − b‖²) of all pairs, (n, m) float32."""
    half = np.float32(np.sqrt(gamma))
    first, second = first * half, second * half
    ones = np.ones(len(first), np.float32), np.ones(len(second), np.float32)
    squares = -np.einsum("ij,ij->i", first, first), -np.einsum("ij,ij->i", second, second)
    left = np.column_stack([first * 2, squares[0], ones[0]])  # −‖a − b‖² as one product, which saves passes over it
    right = np.column_stack([second, ones[1], squares[1]])
    exponent = left @ right.T
    return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)
