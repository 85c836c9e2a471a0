"""The spectral angle mapper: the class whose mean spectrum points the nearest way, whatever the brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

CHUNK_VECTORS = 1 << 13  # spectra at once: their products stay in the processor's cache
LEAST_SPREAD = 1e-3  # radians: float32 cosines of nearly equal spectra know angles to 5e-4


class SpectralAngleMapper(ClassifierMixin, BaseEstimator):
    """Class k of the smallest angle θ_k = arccos(x · m_k / ‖x‖‖m_k‖), m_k being the mean spectrum of the class as
    measured.

    Decision values are −θ² / 2σ², σ the root mean square of the training spectra's angles to their class; their softmax
    are probabilities. Source: Kruse et al., Remote Sensing of Environment 44, 1993."""

    def fit(self, vectors: NDArray[np.float32], classes: ArrayLike) -> SpectralAngleMapper:
        """Fit to spectra (n, F) and their classes (n,); classes weigh the same in the spread."""
        self.classes_, index = np.unique(np.asarray(classes), return_inverse=True)
        self.n_features_in_ = vectors.shape[1]
        vectors = np.asarray(vectors)
        rows = [index == number for number in range(len(self.classes_))]
        means = np.stack([vectors[row].mean(axis=0, dtype=np.float64) for row in rows])
        self.directions_ = _unit(means).astype(np.float32)
        own_squares = np.square(self.angles(vectors)[np.arange(len(index)), index], dtype=np.float64)
        spread = np.sqrt(np.mean([own_squares[row].mean() for row in rows]))
        self.spread_ = float(max(spread, LEAST_SPREAD))
        return self

    def angles(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Return the angle of each spectrum (n, F) to each class, (n, K) float32 radians, 0 to π; zeros are at right
        angles to all."""
        vectors = np.asarray(vectors, np.float32)
        angles = np.empty((len(vectors), len(self.directions_)), np.float32)
        turned = np.ascontiguousarray(self.directions_.T)
        for start in range(0, len(vectors), CHUNK_VECTORS):
            part = slice(start, start + CHUNK_VECTORS)
            length = np.sqrt(np.einsum("ij,ij->i", vectors[part], vectors[part]))
            cosine = vectors[part] @ turned
            cosine /= np.maximum(length, np.finfo(np.float32).tiny)[:, None]
            np.arccos(np.clip(cosine, -1, 1, out=cosine), out=angles[part])
        return angles

    def decision_function(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Return −θ² / 2σ² for each class, (n, K) float32."""
        angles = self.angles(vectors)
        angles *= np.float32(np.sqrt(0.5) / self.spread_)
        return -(angles * angles)

    def predict(self, vectors: ArrayLike) -> NDArray[Any]:
        """Return the class of the smallest angle, (n,)."""
        return self.classes_[self.angles(vectors).argmin(axis=1)]


def _unit(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return spectra of length 1; zeros stay zeros."""
    length = np.linalg.norm(spectra, axis=1, keepdims=True)
    return spectra / np.where(length > 0, length, 1)
